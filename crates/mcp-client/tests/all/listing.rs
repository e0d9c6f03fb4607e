//! Listings: all pages, within a budget.

use std::sync::Arc;

use futures_executor::block_on;
use futures_util::TryStreamExt;
use mcp_client::types::{
    ClientRequest, ErrorObject, Items, ListPromptsResult, ListResourceTemplatesResult,
    ListResourcesResult, ListToolsResult, Listed, Outcome, Prompt, Resource, ResourceTemplate,
    ServerResult,
};
use mcp_client::{Budget, Client, Error};

use crate::script::{Answer, Script};

/// Pages of one entry each; the listing ends after `pages`.
fn paged(pages: usize) -> Script {
    Script::new(move |_, exchange| {
        let at = |cursor: &Option<String>| {
            cursor.as_ref().map_or(Ok(0), |cursor| cursor.parse::<usize>())
        };
        let next = |at: usize| (at + 1 < pages).then(|| (at + 1).to_string());
        let entry = |at: usize| format!("entry-{at}");
        let bad = |_| ErrorObject::invalid_params("no such cursor");
        let result = match &exchange.request {
            ClientRequest::ListPrompts(params) => {
                let at = at(&params.cursor).map_err(bad)?;
                let entries = one(Prompt::new(entry(at)));
                let mut page = ListPromptsResult::new(entries);
                page.next_cursor = next(at);
                ServerResult::ListPrompts(page)
            }
            ClientRequest::ListResources(params) => {
                let at = at(&params.cursor).map_err(bad)?;
                let entries = one(Resource::new(entry(at), "file:///x"));
                let mut page = ListResourcesResult::new(entries);
                page.next_cursor = next(at);
                ServerResult::ListResources(page)
            }
            ClientRequest::ListResourceTemplates(params) => {
                let at = at(&params.cursor).map_err(bad)?;
                let entries = one(ResourceTemplate::new(entry(at), "file:///{x}"));
                let mut page = ListResourceTemplatesResult::new(entries);
                page.next_cursor = next(at);
                ServerResult::ListResourceTemplates(page)
            }
            ClientRequest::ListTools(params) => {
                let at = at(&params.cursor).map_err(bad)?;
                let mut page = ListToolsResult::new(Items::default());
                page.next_cursor = next(at);
                ServerResult::ListTools(page)
            }
            other => return Err(ErrorObject::method_not_found(other.method())),
        };
        Ok(Outcome::Complete(result)) as Answer
    })
}

fn one<T: serde::Serialize>(entry: T) -> Items<T> {
    Items::from(vec![Arc::new(Listed::new(entry).unwrap())])
}

#[test]
fn each_listing_is_read_to_its_end() {
    let client = Client::new(paged(3));
    block_on(async {
        let prompts = client.all_prompts().await.unwrap();
        let names: Vec<&str> = prompts.iter().map(|prompt| prompt.name.as_str()).collect();
        assert_eq!(names, ["entry-0", "entry-1", "entry-2"]);
        assert_eq!(client.all_resources().await.unwrap().len(), 3);
        assert_eq!(client.all_resource_templates().await.unwrap().len(), 3);
        let pages: Vec<_> = client.tool_pages().try_collect().await.unwrap();
        assert_eq!(pages.len(), 3);
    });
}

#[test]
fn a_listing_without_end_is_given_up() {
    let mut budget = Budget::default();
    budget.pages = 5;
    let script = paged(usize::MAX);
    let client = Client::new(script.clone());
    let error = block_on(client.prompt_pages().budget(budget).all()).unwrap_err();
    assert!(matches!(error, Error::TooManyPages(5)), "{error}");
    assert_eq!(script.seen().len(), 5);

    let mut budget = Budget::default();
    budget.bytes = 100;
    let mut pages = client.prompt_pages().budget(budget);
    let error = block_on(async {
        loop {
            if let Err(error) = pages.next_page().await {
                break error;
            }
        }
    });
    assert!(matches!(error, Error::TooManyBytes(100)), "{error}");
    assert!(block_on(pages.next_page()).unwrap().is_none(), "nothing comes after an error");
}

#[test]
fn an_empty_cursor_is_a_cursor() {
    let script = Script::new(|n, _| {
        let mut page = ListToolsResult::new(Items::default());
        page.next_cursor = (n == 0).then(String::new);
        Ok(Outcome::Complete(ServerResult::ListTools(page)))
    });
    assert!(block_on(Client::new(script.clone()).all_tools()).unwrap().is_empty());
    assert_eq!(script.seen().len(), 2);
}
