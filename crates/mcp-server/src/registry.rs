//! What a server offers of one kind: looked up by name, listed in pages, changed as a whole.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use mcp_types::Listed;

use crate::nearest::nearest;
use crate::page::Pages;

/// One thing that is offered: what the listing says about it, and what serves it.
pub(crate) struct Entry<T, H: ?Sized> {
    pub(crate) listed: Arc<Listed<T>>,
    pub(crate) handler: Box<H>,
    /// Its place among all that were ever added; cursors are made of it.
    place: u64,
}

/// All entries of one kind, in the order in which they were added.
///
/// A call takes the table of its moment and keeps it, so a change never meets a call half-way.
pub(crate) struct Registry<T, H: ?Sized> {
    table: RwLock<Arc<Table<T, H>>>,
    pages: Pages,
}

struct Table<T, H: ?Sized> {
    order: Vec<Arc<Entry<T, H>>>,
    by_name: HashMap<String, Arc<Entry<T, H>>>,
    next_place: u64,
}

/// A page of a listing, and the cursor of the next.
pub(crate) type Page<T> = (Vec<Arc<Listed<T>>>, Option<String>);

/// What is to be registered: its name, what a listing says about it, and what serves it.
pub(crate) struct New<T, H: ?Sized> {
    pub(crate) name: String,
    pub(crate) listed: Listed<T>,
    pub(crate) handler: Box<H>,
}

impl<T, H: ?Sized> Registry<T, H> {
    /// A registry of `all`, listed in pages of `page_size` (0 for one page).
    ///
    /// # Errors
    ///
    /// The first name that two of them have.
    pub(crate) fn new(all: Vec<New<T, H>>, page_size: usize) -> Result<Self, String> {
        let pages = Pages::new(all.iter().map(|new| new.name.as_str()), page_size);
        let table = Table {
            order: Vec::with_capacity(all.len()),
            by_name: HashMap::with_capacity(all.len()),
            next_place: 0,
        };
        let table = all.into_iter().try_fold(table, Table::with)?;
        Ok(Self { table: RwLock::new(Arc::new(table)), pages })
    }

    /// The entry of this name.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Entry<T, H>>> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.by_name.get(name).cloned()
    }

    /// The first entry of which `found` makes something, in order.
    pub(crate) fn search<R>(
        &self,
        mut found: impl FnMut(&Entry<T, H>) -> Option<R>,
    ) -> Option<(Arc<Entry<T, H>>, R)> {
        let table = self.now();
        let mut hits = table.order.iter().filter_map(|entry| Some((entry.clone(), found(entry)?)));
        hits.next()
    }

    /// The name that was probably meant by one that is not there, of the entries that `shows` lets
    /// through.
    #[cold]
    pub(crate) fn near(&self, wrong: &str, shows: impl Fn(&T) -> bool) -> Option<String> {
        let table = self.now();
        let shown = table.by_name.iter().filter(|(_, entry)| shows(&entry.listed));
        nearest(wrong, shown.map(|(name, _)| name.as_str())).map(str::to_owned)
    }

    /// Adds an entry behind all others.
    ///
    /// # Errors
    ///
    /// Its name, when there is an entry of that name.
    pub(crate) fn add(&self, new: New<T, H>) -> Result<(), String> {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        *table = Arc::new(table.copy().with(new)?);
        Ok(())
    }

    /// Takes the entry of this name away, if there is one.
    pub(crate) fn remove(&self, name: &str) -> bool {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let Some(gone) = table.by_name.get(name) else { return false };
        let mut less = table.copy();
        less.by_name.remove(name);
        less.order.retain(|entry| !Arc::ptr_eq(entry, gone));
        *table = Arc::new(less);
        true
    }

    /// What the listing says about all entries.
    pub(crate) fn all(&self) -> Vec<Arc<Listed<T>>> {
        self.now().order.iter().map(|entry| entry.listed.clone()).collect()
    }

    /// Whether there is no entry.
    pub(crate) fn is_empty(&self) -> bool {
        self.now().order.is_empty()
    }

    /// The page at `cursor`, of the entries that `shows` lets through, and the cursor of the next.
    /// `None` when the cursor is not one of ours.
    pub(crate) fn page(&self, cursor: Option<&str>, shows: impl Fn(&T) -> bool) -> Option<Page<T>> {
        let table = self.now();
        let start = match cursor {
            None => 0,
            Some(cursor) => self.pages.start(cursor, table.next_place)?,
        };
        let start = table.order.partition_point(|entry| entry.place < start);
        let mut rest = table.order.iter().skip(start).filter(|entry| shows(&entry.listed));
        let page = rest.by_ref().take(self.pages.size).map(|entry| entry.listed.clone()).collect();
        let next = rest.next().map(|entry| self.pages.cursor(entry.place));
        Some((page, next))
    }

    fn now(&self) -> Arc<Table<T, H>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<T, H: ?Sized> Table<T, H> {
    fn copy(&self) -> Self {
        let Self { order, by_name, next_place } = self;
        Self { order: order.clone(), by_name: by_name.clone(), next_place: *next_place }
    }

    fn with(mut self, new: New<T, H>) -> Result<Self, String> {
        let New { name, listed, handler } = new;
        let place = self.next_place;
        let entry = Arc::new(Entry { listed: Arc::new(listed), handler, place });
        if self.by_name.insert(name.clone(), entry.clone()).is_some() {
            return Err(name);
        }
        self.order.push(entry);
        self.next_place += 1;
        Ok(self)
    }
}
