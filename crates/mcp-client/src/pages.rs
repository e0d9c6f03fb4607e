//! All pages of a listing, one after the other.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use mcp_types::{BoxFuture, ExchangeService, ListToolsResult};

use crate::{Client, Error};

/// How many pages of one listing are read before the server is taken for broken.
const MOST_PAGES: usize = 10_000;

/// The pages of `tools/list`; a `Stream`, or a loop over [`Pages::next_page`].
pub struct Pages<S> {
    client: Client<S>,
    next: Next,
    read: usize,
}

enum Next {
    Ask(Option<String>),
    Waiting(BoxFuture<'static, Result<ListToolsResult, Error>>),
    Done,
}

impl<S: ExchangeService> Pages<S> {
    pub(crate) fn new(client: Client<S>) -> Self {
        Self { client, next: Next::Ask(None), read: 0 }
    }

    /// The next page, or `None` after the last.
    ///
    /// # Errors
    ///
    /// See [`Error`]; after an error there is nothing more.
    pub async fn next_page(&mut self) -> Result<Option<ListToolsResult>, Error> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await.transpose()
    }
}

// Nothing in it is ever pinned but the future, which is on the heap.
impl<S> Unpin for Pages<S> {}

impl<S: ExchangeService> Stream for Pages<S> {
    type Item = Result<ListToolsResult, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match &mut self.next {
                Next::Done => return Poll::Ready(None),
                Next::Ask(cursor) => {
                    let cursor = cursor.take();
                    if self.read == MOST_PAGES {
                        self.next = Next::Done;
                        return Poll::Ready(Some(Err(Error::TooManyPages(MOST_PAGES))));
                    }
                    let client = self.client.clone();
                    self.next =
                        Next::Waiting(Box::pin(async move { client.list_tools(cursor).await }));
                }
                Next::Waiting(page) => {
                    let page = ready!(page.as_mut().poll(cx));
                    self.read += 1;
                    self.next = match &page {
                        Ok(page) if page.next_cursor.is_some() => {
                            Next::Ask(page.next_cursor.clone())
                        }
                        _ => Next::Done,
                    };
                    return Poll::Ready(Some(page));
                }
            }
        }
    }
}

impl<S> std::fmt::Debug for Pages<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pages(read: {})", self.read)
    }
}
