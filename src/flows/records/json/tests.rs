//! What the reader takes and what it refuses, by hand and against serde_json as a second opinion.

use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use serde_json::{Value as Json, json};

use super::*;

object! {
    /// A line of the tests.
    Line { "a" => a: Num, "b" => b: Str<'a>, "c" => c: Few<Str<'a>, 2>, "d" => d: Flag, "e" => e: Option<Skip>, }
}

#[test]
fn members_may_come_in_any_order_be_missing_null_or_unknown() {
    let text = br#" {"x":{"y":[1,-2,3.5,null,true,"\n]}"]}, "c":["p","q","r"],"b":"x\u003cy" , "a":"12","d":false, "e":[] }"#;
    let read: Line<'_> = line(text).expect("whole");
    assert_eq!((read.a, read.b.as_str(), read.d), (Num(Some(12)), "x<y", Flag(Some(false))));
    assert!(read.e.is_some());
    let few: Vec<_> = read.c.as_slice().iter().map(Str::as_str).collect();
    assert_eq!(few, ["p", "q"]);
    let read: Line<'_> = line(br#"{"a":null,"b":null,"c":null,"d":null,"e":null}"#).expect("whole");
    assert_eq!((read.a, read.b.said(), read.d, read.e.is_none()), (Num(None), None, Flag(None), true));
    assert!(read.c.as_slice().is_empty());
}

#[test]
fn numbers_are_taken_as_they_come() {
    let cases = [("7", Some(7)), ("7.0", Some(7)), ("7e0", Some(7)), ("\" 7 \"", Some(7)), ("-7", None)];
    for (raw, number) in cases.into_iter().chain([("\"-\"", None), ("1e999", None)]) {
        let text = format!("{{\"a\":{raw}}}");
        assert_eq!(line::<Line<'_>>(text.as_bytes()).expect("whole").a, Num(number), "{raw}");
    }
}

#[test]
fn what_is_not_whole_or_not_text_is_said() {
    for half in [
        "",
        "{",
        "{\"a\":1",
        "{\"a\":1}}",
        "[]",
        "{\"a\":{}}",
        "{\"b\":\"x",
        "{\"b\":\"x\\",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{\"x\":}",
        "{\"x\":nul}",
        "{\"x\":[}",
        "{\"d\":1}",
        "{\"b\":\"\\ud800\"}",
        "{\"a\":--}",
        "{\"c\":[\"p\",]}",
    ] {
        assert_eq!(line::<Line<'_>>(half.as_bytes()).expect_err(half), Malformed::Json);
    }
    assert_eq!(line::<Line<'_>>(b"{\"b\":\"\xff\"}").expect_err("not text"), Malformed::Text);
}

/// A depth that would overflow the stack of a reader that recurses.
#[test]
fn depth_costs_no_stack() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
        let deep = format!("{{\"x\":{}1{}}}", open.repeat(200_000), close.repeat(200_000));
        assert!(line::<Line<'_>>(deep.as_bytes()).is_ok());
        let unfinished = format!("{{\"x\":{}", open.repeat(200_000));
        assert_eq!(line::<Line<'_>>(unfinished.as_bytes()).expect_err("half"), Malformed::Json);
    }
}

fn anything() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        "(\\PC|[\\\\\"\n\u{1}]){0,20}".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            proptest::collection::hash_map("(\\PC|[\\\\\"]){0,12}", inner, 0..4)
                .prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]

    /// A second opinion: what serde_json writes is read as it was meant, around any other members.
    #[test]
    fn agrees_with_another_writer(before in anything(), after in anything(), number in any::<u64>(),
                                  text in "(\\PC|[\\\\\"\n\u{7f}]){0,40}", pretty in any::<bool>()) {
        let value = json!({"0": before, "a": number, "b": text, "c": [text, number.to_string(), after], "x": after});
        let written = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        let written = written.expect("JSON");
        let read: Line<'_> = line(written.as_bytes()).expect("whole");
        proptest::prop_assert_eq!(read.a, Num(Some(number)));
        proptest::prop_assert_eq!(read.b.as_str(), text.as_str());
        proptest::prop_assert_eq!(read.c.as_slice()[0].as_str(), text);
        for end in (0..written.len()).filter(|end| written.is_char_boundary(*end)) {
            proptest::prop_assert!(line::<Line<'_>>(&written.as_bytes()[..end]).is_err());
        }
    }
}
