//! A fetcher for tests that answers from a table and counts.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use mcp_types::BoxFuture;

use crate::{Fetch, FetchError, FetchRequest, FetchResponse};

/// Answers by URL; what it does not know is 404.
#[derive(Default)]
pub(crate) struct Scripted {
    answers: Mutex<HashMap<String, Option<FetchResponse>>>,
    asked: Mutex<Vec<FetchRequest>>,
}

impl Scripted {
    pub(crate) fn says(&self, url: &str, answer: FetchResponse) {
        self.answers.lock().unwrap().insert(url.to_owned(), Some(answer));
    }

    pub(crate) fn text(&self, url: &str, text: impl Into<String>) {
        self.says(url, FetchResponse::new(200, text.into().into_bytes()));
    }

    pub(crate) fn fails(&self, url: &str) {
        self.answers.lock().unwrap().insert(url.to_owned(), None);
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().map(|request| request.url.clone()).collect()
    }

    pub(crate) fn last(&self) -> FetchRequest {
        self.asked.lock().unwrap().last().unwrap().clone()
    }

    pub(crate) fn forget(&self) {
        self.asked.lock().unwrap().clear();
    }
}

impl Fetch for Scripted {
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<FetchResponse, FetchError>> {
        let url = request.url.clone();
        self.asked.lock().unwrap().push(request);
        let answer = self.answers.lock().unwrap().get(&url).cloned();
        Box::pin(async move {
            // Others get their turn while an answer is on its way.
            tokio::task::yield_now().await;
            match answer {
                Some(Some(answer)) => Ok(answer),
                Some(None) => Err(FetchError::Unreachable { url, why: "no route".to_owned() }),
                None => Ok(FetchResponse::new(404, Vec::new())),
            }
        })
    }
}
