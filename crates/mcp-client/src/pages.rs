//! All pages of a listing, one after the other.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use mcp_types::{
    BoxFuture, ClientRequest, ExchangeService, Items, ListPromptsResult,
    ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, Listed,
    PaginatedRequestParams, Prompt, Resource, ResourceTemplate, ServerResult, Tool,
};

use crate::{Client, Error};

/// How much of one listing is read before the server is taken for broken.
///
/// A cursor is opaque and a list may grow while it is read, so nothing else can tell that a list
/// will never end (specification, "Pagination").
///
/// ```
/// let mut budget = mcp_client::Budget::default();
/// assert_eq!(budget.bytes, 64 << 20);
/// budget.pages = 10;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Budget {
    /// How many pages; 10,000 by default.
    pub pages: usize,
    /// How many bytes of entries on all pages together; 64 MiB by default.
    pub bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { pages: 10_000, bytes: 64 << 20 }
    }
}

/// A page of one of the four listings; which one says its type.
///
/// Sealed: the specification has four.
pub trait Page: sealed::Page {
    /// What the listing lists.
    type Entry;

    /// The entries of the page.
    fn entries(self) -> Items<Self::Entry>;
}

pub(crate) mod sealed {
    use super::{ClientRequest, PaginatedRequestParams, ServerResult};

    pub trait Page: Sized + Send + 'static {
        fn request(params: PaginatedRequestParams) -> ClientRequest;
        fn of(result: ServerResult) -> Result<Self, Box<ServerResult>>;
        fn next_cursor(&self) -> Option<&String>;
        fn bytes(&self) -> usize;
    }
}

macro_rules! page {
    ($page:ident, $entry:ident, $member:ident, $method:ident) => {
        impl Page for $page {
            type Entry = $entry;

            fn entries(self) -> Items<$entry> {
                self.$member
            }
        }

        impl sealed::Page for $page {
            fn request(params: PaginatedRequestParams) -> ClientRequest {
                ClientRequest::$method(params)
            }

            fn of(result: ServerResult) -> Result<Self, Box<ServerResult>> {
                match result {
                    ServerResult::$method(page) => Ok(page),
                    other => Err(Box::new(other)),
                }
            }

            fn next_cursor(&self) -> Option<&String> {
                self.next_cursor.as_ref()
            }

            fn bytes(&self) -> usize {
                let good = self.$member.iter().map(|entry| entry.text().get().len());
                let bad = self.$member.bad().iter().map(|entry| entry.text.get().len());
                let cursor = self.next_cursor.as_ref().map_or(0, String::len);
                good.chain(bad).sum::<usize>() + cursor
            }
        }
    };
}

page!(ListToolsResult, Tool, tools, ListTools);
page!(ListPromptsResult, Prompt, prompts, ListPrompts);
page!(ListResourcesResult, Resource, resources, ListResources);
page!(ListResourceTemplatesResult, ResourceTemplate, resource_templates, ListResourceTemplates);

/// The pages of a listing: a `Stream`, or a loop over [`Pages::next_page`].
///
/// Each page is asked for when it is wanted. After an error there is nothing more.
pub struct Pages<S, P = ListToolsResult> {
    client: Client<S>,
    next: Next<P>,
    left: Budget,
    budget: Budget,
}

enum Next<P> {
    Ask(Option<String>),
    Waiting(BoxFuture<'static, Result<P, Error>>),
    Done,
}

impl<S: ExchangeService, P: Page> Pages<S, P> {
    pub(crate) fn new(client: Client<S>) -> Self {
        let budget = Budget::default();
        Self { client, next: Next::Ask(None), left: budget, budget }
    }

    /// Reads no more than `budget`; to be said before the first page.
    #[must_use]
    pub fn budget(mut self, budget: Budget) -> Self {
        (self.left, self.budget) = (budget, budget);
        self
    }

    /// The next page, or `None` after the last.
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::TooManyPages`] and [`Error::TooManyBytes`] for a listing that
    /// exceeds its [`Budget`].
    pub async fn next_page(&mut self) -> Result<Option<P>, Error> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await.transpose()
    }

    /// The entries of all pages that are left; entries that could not be read are left out.
    ///
    /// # Errors
    ///
    /// As [`Pages::next_page`].
    pub async fn all(mut self) -> Result<Vec<Arc<Listed<P::Entry>>>, Error> {
        let mut entries = Vec::new();
        while let Some(page) = self.next_page().await? {
            entries.extend(page.entries().into_vec());
        }
        Ok(entries)
    }

    /// Takes a page from the budget.
    fn spend(&mut self, page: &P) -> Result<(), Error> {
        let bytes = self.left.bytes.checked_sub(page.bytes());
        self.left.bytes = bytes.ok_or(Error::TooManyBytes(self.budget.bytes))?;
        Ok(())
    }
}

// Nothing in it is ever pinned but the future, which is on the heap.
impl<S, P> Unpin for Pages<S, P> {}

impl<S: ExchangeService, P: Page> Stream for Pages<S, P> {
    type Item = Result<P, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match &mut self.next {
                Next::Done => return Poll::Ready(None),
                Next::Ask(cursor) => {
                    let cursor = cursor.take();
                    let Some(pages) = self.left.pages.checked_sub(1) else {
                        self.next = Next::Done;
                        let error = Error::TooManyPages(self.budget.pages);
                        return Poll::Ready(Some(Err(error)));
                    };
                    self.left.pages = pages;
                    let client = self.client.clone();
                    self.next =
                        Next::Waiting(Box::pin(async move { client.list::<P>(cursor).await }));
                }
                Next::Waiting(page) => {
                    let page = ready!(page.as_mut().poll(cx));
                    self.next = Next::Done;
                    let page = page.and_then(|page| self.spend(&page).map(|()| page));
                    if let Some(cursor) = page.as_ref().ok().and_then(sealed::Page::next_cursor) {
                        self.next = Next::Ask(Some(cursor.clone()));
                    }
                    return Poll::Ready(Some(page));
                }
            }
        }
    }
}

impl<S, P> std::fmt::Debug for Pages<S, P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pages").field("left", &self.left).finish_non_exhaustive()
    }
}
