//! What names and descriptions say that a tool does, by their verbs.

/// What a verb does to the world, the gravest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Act {
    Run,
    Add,
    Change,
    Send,
    Grant,
    Pay,
    Destroy,
}

const VERBS: [(Act, &[&str]); 7] = [
    (Act::Run, &["run", "execute", "exec", "invoke", "call", "eval", "start"]),
    (
        Act::Add,
        &[
            "create",
            "add",
            "insert",
            "append",
            "import",
            "register",
            "schedule",
            "copy",
            "clone",
            "store",
            "erstellen",
            "anlegen",
            "crear",
            "creer",
            "créer",
            "criar",
        ],
    ),
    (
        Act::Change,
        &[
            "write",
            "update",
            "edit",
            "modify",
            "set",
            "replace",
            "rename",
            "move",
            "merge",
            "enable",
            "disable",
            "change",
            "rotate",
            "finalise",
            "finalize",
            "commit",
            "restart",
            "stop",
            "deploy",
            "rollback",
            "restore",
            "amend",
            "withdraw",
            "archive",
            "lock",
            "install",
            "push",
            "patch",
            "save",
            "close",
            "scale",
            "apply",
            "toggle",
            "mute",
            "block",
            "schreiben",
            "ändern",
            "aendern",
            "actualizar",
            "modifier",
            "modifica",
            "изменяет",
            "записывает",
        ],
    ),
    (
        Act::Send,
        &[
            "send",
            "publish",
            "post",
            "broadcast",
            "forward",
            "upload",
            "submit",
            "share",
            "tweet",
            "notify",
            "invite",
            "sendet",
            "senden",
            "envía",
            "enviar",
            "envoie",
            "envoyer",
            "отправляет",
            "публикует",
        ],
    ),
    (
        Act::Grant,
        &[
            "approve",
            "grant",
            "revoke",
            "authorize",
            "authorise",
            "unlock",
            "impersonate",
            "elevate",
            "attach",
            "detach",
            "unblock",
        ],
    ),
    (
        Act::Pay,
        &[
            "pay",
            "transfer",
            "purchase",
            "buy",
            "charge",
            "refund",
            "donate",
            "sweep",
            "mint",
            "überweist",
            "ueberweisen",
            "überweisen",
            "transfiere",
            "pagar",
            "payer",
            "переводит",
        ],
    ),
    (
        Act::Destroy,
        &[
            "delete",
            "erase",
            "destroy",
            "wipe",
            "purge",
            "drop",
            "truncate",
            "remove",
            "shred",
            "clear",
            "kill",
            "terminate",
            "uninstall",
            "reset",
            "overwrite",
            "unlink",
            "cancel",
            "forget",
            "discard",
            "empty",
            "rm",
            "rmdir",
            "unfriend",
            "force",
            "löscht",
            "löschen",
            "loeschen",
            "entfernt",
            "entfernen",
            "schließt",
            "schliessen",
            "schließen",
            "borrar",
            "borra",
            "eliminar",
            "elimina",
            "annule",
            "annuler",
            "supprime",
            "supprimer",
            "efface",
            "effacer",
            "apaga",
            "apagar",
            "exclui",
            "excluir",
            "удаляет",
            "удалить",
            "стирает",
            "очищает",
            "отменяет",
            "ochistit",
            "udalit",
            "sakujo",
            "torikeshi",
            "shanchu",
        ],
    ),
];

/// Verbs of scripts without spaces, where they stand.
const UNSPACED: [(Act, &[&str]); 3] = [
    (Act::Destroy, &["删除", "清空", "清除", "销毁", "抹掉", "削除", "消去", "取り消", "삭제"]),
    (Act::Send, &["发送", "发布", "送信", "전송"]),
    (Act::Pay, &["转账", "付款", "支払", "振込", "송금"]),
];

/// Verbs of looking.
const READING: [&str; 62] = [
    "get",
    "list",
    "read",
    "show",
    "search",
    "find",
    "fetch",
    "describe",
    "view",
    "check",
    "query",
    "count",
    "preview",
    "analyse",
    "analyze",
    "inspect",
    "lookup",
    "look",
    "scan",
    "compare",
    "validate",
    "verify",
    "explain",
    "summarise",
    "summarize",
    "watch",
    "monitor",
    "browse",
    "retrieve",
    "diff",
    "status",
    "info",
    "test",
    "estimate",
    "calculate",
    "compute",
    "convert",
    "parse",
    "detect",
    "details",
    "history",
    "logs",
    "is",
    "has",
    "can",
    "print",
    "display",
    "resolve",
    "select",
    "peek",
    "tail",
    "head",
    "sample",
    "suggest",
    "plan",
    "simulate",
    "dry",
    "audit",
    "report",
    "liste",
    "listar",
    "lister",
];

/// Words at the end of a name that make what is before them a thing.
const THINGS: [&str; 22] = [
    "status", "preview", "info", "history", "log", "logs", "list", "report", "state", "count",
    "check", "request", "requests", "queue", "policy", "rules", "settings", "config", "options",
    "schema", "methods", "details",
];

/// The words of a name, in lower case: apart by signs, digits and capitals.
pub(super) fn split(name: &str) -> Vec<String> {
    split_where(name, char::is_alphabetic)
}

/// The words of a name with their digits: apart by signs and capitals alone.
pub(super) fn split_plain(name: &str) -> Vec<String> {
    split_where(name, char::is_alphanumeric)
}

fn split_where(name: &str, in_word: fn(char) -> bool) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut rest = name.chars().peekable();
    let mut before = None::<char>;
    while let Some(c) = rest.next() {
        let starts = c.is_uppercase()
            && (before.is_some_and(char::is_lowercase)
                || before.is_some_and(char::is_uppercase)
                    && rest.peek().copied().is_some_and(char::is_lowercase));
        if (starts || !in_word(c)) && !word.is_empty() {
            words.push(core::mem::take(&mut word));
        }
        if in_word(c) {
            word.extend(c.to_lowercase());
        }
        before = Some(c);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

fn act(word: &str) -> Option<Act> {
    VERBS.iter().find(|(_, verbs)| verbs.contains(&word)).map(|(act, _)| *act)
}

/// The act of a verb in the third person or in its plain form.
fn act_told(word: &str) -> Option<Act> {
    let stem = |ending: &str| word.strip_suffix(ending).and_then(act);
    act(word).or_else(|| stem("s")).or_else(|| stem("es")).or_else(|| {
        let stem = word.strip_suffix("ies")?;
        act(&format!("{stem}y"))
    })
}

/// The gravest thing that a name says is done, with its word. A name that begins with looking does
/// only what it says behind an `and`.
pub(super) fn of_name(name: &str) -> Option<(Act, String)> {
    if let Some(found) = unspaced(name) {
        return Some((found.0, found.1.to_owned()));
    }
    let words = split(name);
    if words.len() > 1 && words.last().is_some_and(|last| THINGS.contains(&&**last)) {
        return None;
    }
    let looks = words.iter().position(|word| READING.contains(&&**word));
    let acts = words.iter().position(|word| act(word).is_some());
    let from = match (looks, acts) {
        (Some(looks), Some(acts)) if looks < acts => {
            let joined = |word: &String| matches!(&**word, "and" | "then" | "or");
            looks + words.iter().skip(looks).position(joined)?
        }
        _ => 0,
    };
    let found = words.into_iter().skip(from).filter_map(|word| Some((act(&word)?, word)));
    found.max_by_key(|(act, _)| *act)
}

fn unspaced(text: &str) -> Option<(Act, &'static str, usize)> {
    if text.is_ascii() {
        return None;
    }
    let all = UNSPACED.iter().flat_map(|(act, verbs)| verbs.iter().map(move |verb| (*act, *verb)));
    let found = all.filter_map(|(act, verb)| {
        let at = text.find(verb)?;
        let before = text.get(..at)?.chars().next_back();
        (!before.is_some_and(|c| "不未没勿别".contains(c))).then_some((act, verb, at))
    });
    found.max_by_key(|(act, _, at)| (*act, core::cmp::Reverse(*at)))
}

/// The most bytes of a description that are read for its verbs.
const DESCRIPTION: usize = 1 << 14;

/// The gravest thing that a description says the tool does, with its word, and whether a sentence
/// begins with it.
pub(super) fn of_description(text: &str) -> Option<(Act, String, bool)> {
    let mut end = text.len().min(DESCRIPTION);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = text.get(..end).unwrap_or_default();
    let mut best = unspaced(text).map(|(act, word, at)| (act, word.to_owned(), at == 0));
    for (number, sentence) in text.split(['.', '!', '?', '\n', '。']).enumerate() {
        let words: Vec<&str> = sentence.split_whitespace().collect();
        if words.iter().any(|word| is_negation(word)) {
            continue;
        }
        let mut starts = true;
        let mut joined = false;
        for (at, word) in words.iter().enumerate() {
            let plain = word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
            if plain.is_empty() {
                continue;
            }
            let told = match (starts, joined) {
                // The first one may be an order to the tool, later ones speak to the model.
                (true, _) if number == 0 || plain.ends_with('s') => act_told(&plain),
                // In the middle, only the form that has the tool for its subject.
                (_, true) if plain.ends_with('s') => act_told(&plain),
                _ => None,
            };
            // `Posts of a user`, `Updates from …` and what is listed are things.
            let next = words.get(at + 1).map(|next| next.to_lowercase());
            let listed = !starts && (word.starts_with('(') || word.ends_with([',', ')']));
            let thing = listed
                || matches!(
                    next.as_deref(),
                    Some("of" | "from" | "in" | "for" | "by" | "and" | "or") | None
                ) && plain.ends_with('s');
            if let Some(act) = told.filter(|_| !thing)
                && best.as_ref().is_none_or(|(other, _, first)| (act, starts) > (*other, *first))
            {
                best = Some((act, plain.clone(), starts));
            }
            starts = false;
            joined = matches!(&*plain, "and" | "then") || word.ends_with([',', ';']);
        }
    }
    best
}

fn is_negation(word: &str) -> bool {
    let word = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '\'').to_lowercase();
    matches!(
        &*word,
        "not"
            | "no"
            | "never"
            | "nothing"
            | "cannot"
            | "without"
            | "nicht"
            | "nichts"
            | "nie"
            | "kein"
            | "keine"
            | "ne"
            | "pas"
            | "jamais"
            | "sans"
            | "nunca"
            | "não"
            | "sin"
            | "не"
            | "ничего"
            | "before"
            | "after"
            | "instead"
    ) || word.ends_with("n't")
}

/// Ways to say that there is no way back.
const FINAL: [&str; 26] = [
    "cannot be undone",
    "can't be undone",
    "for good",
    "permanently",
    "irreversib",
    "be recovered",
    "unrecoverabl",
    "cannot be reopened",
    "are not kept",
    "is not kept",
    "disposal",
    "--force",
    "unlimited spending",
    "nicht umkehrbar",
    "endgültig",
    "unwiderruflich",
    "no se puede recuperar",
    "irréversible",
    "définitiv",
    "sans remboursement",
    "不可恢复",
    "无法恢复",
    "元に戻せ",
    "безвозвратно",
    "без корзины",
    "irreversível",
];

pub(super) fn final_word(text: &str) -> Option<&'static str> {
    let text = text.to_lowercase();
    FINAL.into_iter().find(|word| text.contains(word))
}

/// What a permission allows, with the permission.
pub(super) fn of_scope(scope: &str) -> Option<(Act, String)> {
    if scope == "tools:execute" {
        return None;
    }
    let words = split(scope);
    let found = words.iter().filter_map(|word| match &**word {
        "write" | "manage" | "admin" | "modify" | "put" | "full" => Some(Act::Change),
        "sign" => Some(Act::Pay),
        "read" | "list" | "view" => None,
        word => act(word),
    });
    found.max().map(|act| (act, scope.to_owned()))
}

/// Whether a parameter is an address somewhere.
pub(super) fn is_address(name: &str) -> bool {
    let words = split(name);
    words.iter().any(|word| matches!(&**word, "url" | "uri" | "urls" | "webhook" | "endpoint"))
}

/// Whether a word of a name says that something is fetched from elsewhere.
pub(super) fn is_fetch(word: &str) -> bool {
    matches!(
        word,
        "fetch" | "download" | "crawl" | "scrape" | "browse" | "http" | "curl" | "navigate"
    )
}

/// Whether a description says that any address will do.
pub(super) fn any_address(text: &str) -> bool {
    let text = text.to_lowercase();
    ["any url", "any http", "any website", "any web", "any address", "arbitrary url", "any host"]
        .iter()
        .any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_is_done() {
        for (name, act) in [
            ("delete_file", Some(Act::Destroy)),
            ("rm_tree", Some(Act::Destroy)),
            ("namespacePurge", Some(Act::Destroy)),
            ("get_photos_and_wipe", Some(Act::Destroy)),
            ("list_deleted_files", None),
            ("get_merge_request", None),
            ("linear_getProjectUpdates", None),
            ("mail_merge_preview", None),
            ("execute_query", Some(Act::Run)),
            ("approve_spender", Some(Act::Grant)),
            ("payment_status", None),
            ("konto_schliessen", Some(Act::Destroy)),
            ("HTTPSend", Some(Act::Send)),
            ("add", Some(Act::Add)),
            ("recall", None),
        ] {
            assert_eq!(of_name(name).map(|(act, _)| act), act, "{name}");
        }
    }

    #[test]
    fn descriptions_say_what_is_done() {
        for (text, act) in [
            ("Deletes a directory and all below it.", Some((Act::Destroy, true))),
            ("Lists accounts; resets their passwords when asked.", Some((Act::Destroy, false))),
            ("Shows how it would look, and publishes it.", Some((Act::Send, false))),
            ("Lists what was deleted. Never deletes anything.", None),
            ("Returns posts of a user.", None),
            ("Posts of a user, by date.", None),
            ("Löscht eine Akte.", Some((Act::Destroy, true))),
            ("清空全部聊天记录", Some((Act::Destroy, true))),
            ("不删除任何内容", None),
            ("Explains how a tool deletes files", None),
        ] {
            let found = of_description(text).map(|(act, _, first)| (act, first));
            assert_eq!(found, act, "{text}");
        }
    }
}
