//! A map from types to values, for what layers tell each other about one exchange.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::Arc;

/// At most one value of each type; an empty map allocates nothing.
///
/// Only code of this process can put a value in, so a layer may trust what an outer layer put
/// here. A clone shares the values. Look-up is linear, because there are a handful.
#[derive(Clone, Default)]
pub struct Extensions(Vec<(TypeId, Arc<dyn Any + Send + Sync>)>);

impl Extensions {
    /// An empty map.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Puts `value` in, in place of an earlier value of its type.
    pub fn insert<T: Send + Sync + 'static>(&mut self, value: T) {
        self.insert_shared(Arc::new(value));
    }

    /// Puts a value in that others hold as well, in place of an earlier value of its type.
    pub fn insert_shared<T: Send + Sync + 'static>(&mut self, value: Arc<T>) {
        let id = TypeId::of::<T>();
        match self.0.iter_mut().find(|(known, _)| *known == id) {
            Some((_, place)) => *place = value,
            None => self.0.push((id, value)),
        }
    }

    /// Puts all values of `other` in, in place of earlier ones of their types; both share them.
    pub fn merge(&mut self, other: &Self) {
        for (id, value) in &other.0 {
            match self.0.iter_mut().find(|(known, _)| known == id) {
                Some((_, place)) => *place = value.clone(),
                None => self.0.push((*id, value.clone())),
            }
        }
    }

    /// Takes the value of type `T` out; whether there was one.
    pub fn remove<T: Send + Sync + 'static>(&mut self) -> bool {
        let (id, before) = (TypeId::of::<T>(), self.0.len());
        self.0.retain(|(known, _)| *known != id);
        self.0.len() < before
    }

    /// The value of type `T`.
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.find::<T>()?.downcast_ref()
    }

    /// The value of type `T`, shared.
    pub fn get_shared<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.find::<T>()?.clone().downcast().ok()
    }

    fn find<T: 'static>(&self) -> Option<&Arc<dyn Any + Send + Sync>> {
        let id = TypeId::of::<T>();
        self.0.iter().find(|(known, _)| *known == id).map(|(_, value)| value)
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Extensions({})", self.0.len())
    }
}
