//! A map from types to values, for what layers tell each other about one exchange.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// At most one value of each type; empty ones allocate nothing.
///
/// Only code of this process can put a value in, so a layer may trust what an outer layer put
/// here. A clone shares the values.
#[derive(Clone, Default)]
pub struct Extensions(Option<Box<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>>);

impl Extensions {
    /// An empty map.
    pub const fn new() -> Self {
        Self(None)
    }

    /// Puts `value` in, in place of an earlier value of its type.
    pub fn insert<T: Send + Sync + 'static>(&mut self, value: T) {
        self.0.get_or_insert_default().insert(TypeId::of::<T>(), Arc::new(value));
    }

    /// The value of type `T`.
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.0.as_ref()?.get(&TypeId::of::<T>())?.downcast_ref()
    }

    /// The value of type `T`, shared.
    pub fn get_shared<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.0.as_ref()?.get(&TypeId::of::<T>())?.clone().downcast().ok()
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.as_ref().map_or(0, |values| values.len());
        write!(f, "Extensions({count})")
    }
}
