//! What makes a form, and what is refused.

use serde::Deserialize;

use super::*;

#[derive(Deserialize, JsonSchema)]
#[allow(dead_code)]
enum Plain {
    Red,
    Green,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code)]
enum Titled {
    /// Within a week
    Slow,
    #[schemars(title = "By tomorrow")]
    Fast,
    Whenever,
}

#[derive(Deserialize, JsonSchema)]
#[allow(dead_code)]
struct Everything {
    /// Who you are.
    #[schemars(title = "Name", length(min = 1, max = 50))]
    name: String,
    #[schemars(email)]
    mail: Option<String>,
    #[schemars(url)]
    page: Option<String>,
    #[schemars(range(min = 18, max = 120))]
    age: u8,
    #[serde(default = "half")]
    score: f64,
    #[serde(default)]
    verified: bool,
    colour: Option<Plain>,
    speed: Titled,
    #[schemars(length(min = 1, max = 2))]
    colours: Vec<Plain>,
    speeds: Option<std::collections::BTreeSet<TitledKey>>,
}

#[derive(Deserialize, JsonSchema, PartialEq, Eq, PartialOrd, Ord)]
#[allow(dead_code)]
enum TitledKey {
    /// The first
    A,
    /// The second
    B,
}

fn half() -> f64 {
    0.5
}

fn shown<T: JsonSchema>() -> Vec<String> {
    let form = match requested_schema::<T>() {
        Ok(form) => form,
        Err(error) => return vec![error.to_string()],
    };
    let fields = form.properties.iter();
    let mut lines: Vec<_> = fields
        .map(|(name, field)| format!("{name} {}", serde_json::to_string(field).unwrap()))
        .collect();
    lines.push(format!("required {:?}", form.required.unwrap_or_default()));
    lines
}

#[test]
fn a_type_becomes_a_form() {
    assert_eq!(
        shown::<Everything>(),
        [
            r#"age {"maximum":120,"minimum":18,"type":"integer"}"#,
            r#"colour {"type":"string","enum":["Red","Green"]}"#,
            r#"colours {"type":"array","items":{"type":"string","enum":["Red","Green"]},"maxItems":2,"minItems":1}"#,
            r#"mail {"type":"string","format":"email"}"#,
            r#"name {"type":"string","description":"Who you are.","maxLength":50,"minLength":1,"title":"Name"}"#,
            r#"page {"type":"string","format":"uri"}"#,
            r#"score {"default":0.5,"type":"number"}"#,
            r#"speed {"type":"string","oneOf":[{"const":"whenever","title":"whenever"},{"const":"slow","title":"Within a week"},{"const":"fast","title":"By tomorrow"}]}"#,
            r#"speeds {"type":"array","items":{"anyOf":[{"const":"A","title":"The first"},{"const":"B","title":"The second"}]}}"#,
            r#"verified {"type":"boolean","default":false}"#,
            r#"required ["name", "age", "speed", "colours"]"#,
        ]
    );
}

#[derive(JsonSchema)]
#[allow(dead_code)]
struct Nested {
    inner: Inner,
}

#[derive(JsonSchema)]
#[allow(dead_code)]
struct Inner {
    name: String,
}

#[derive(JsonSchema)]
#[allow(dead_code)]
struct FreeList {
    names: Vec<String>,
}

#[derive(JsonSchema)]
#[allow(dead_code)]
struct WithData {
    shape: Shape,
}

#[derive(JsonSchema)]
#[allow(dead_code)]
enum Shape {
    Circle { radius: f64 },
    Point,
}

#[derive(JsonSchema)]
#[allow(dead_code)]
struct Pattern {
    #[schemars(regex(pattern = "^a"))]
    code: String,
}

#[test]
fn what_is_no_form_is_named() {
    let kinds = "it is no text, number, boolean, enum without data, or list of such an enum";
    assert_eq!(shown::<Nested>(), [format!("the field `inner` fits in no form: {kinds}")]);
    assert_eq!(
        shown::<FreeList>(),
        [
            "the field `names` fits in no form: a list is one of values to choose from, so its items \
          are an enum without data"
        ]
    );
    assert_eq!(
        shown::<WithData>(),
        ["the field `shape` fits in no form: the values of an enum in a form carry no data"]
    );
    assert_eq!(
        shown::<Pattern>(),
        [
            "the field `code` fits in no form: a text has no pattern, check it when the answer is there"
        ]
    );
    assert_eq!(shown::<String>(), ["a form is a struct with named fields"]);
    assert_eq!(shown::<Shape>(), ["a form is a struct with named fields"]);
    assert_eq!(shown::<BTreeMap<String, String>>(), ["a form is a struct with named fields"]);
}

#[test]
fn answers_are_held_against_the_form() {
    let form = requested_schema::<Everything>().unwrap();
    let good = r#"{"name":"Ada","age":36,"speed":"fast","colours":["Red"],"mail":null,"spare":1}"#;
    let judge = |change: &str| {
        let mut content: Content = RawText::new(good).unwrap().parse().unwrap();
        let change: Content = RawText::new(change).unwrap().parse().unwrap();
        content.extend(change);
        match check(&form, content) {
            Ok(kept) => kept.into_keys().collect::<Vec<_>>().join(" "),
            Err(error) => error.to_string(),
        }
    };
    for (change, verdict) in [
        ("{}", "age colours name speed"),
        (r#"{"name":null}"#, "`name`: must be filled in"),
        (r#"{"name":""}"#, "`name`: expected at least 1 characters"),
        (r#"{"name":7}"#, "`name`: expected a text"),
        (r#"{"age":17}"#, "`age`: expected at least 18"),
        (r#"{"age":121}"#, "`age`: expected at most 120"),
        (r#"{"age":20.5}"#, "`age`: expected a whole number"),
        (r#"{"age":"20"}"#, "`age`: expected a number"),
        (r#"{"mail":"nobody"}"#, "`mail`: expected an e-mail address"),
        (r#"{"verified":"yes"}"#, "`verified`: expected `true` or `false`"),
        (r#"{"speed":"Fast"}"#, "`speed`: expected one of `whenever`, `slow`, `fast`"),
        (r#"{"colour":"Blue"}"#, "`colour`: expected one of `Red`, `Green`"),
        (r#"{"colours":[]}"#, "`colours`: expected at least 1 values"),
        (r#"{"colours":["Red","Blue"]}"#, "`colours`: expected one of `Red`, `Green`"),
        (r#"{"colours":["Red","Red","Red"]}"#, "`colours`: expected at most 2 values"),
    ] {
        assert_eq!(judge(change), verdict, "{change}");
    }
}
