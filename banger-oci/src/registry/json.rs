//! JSON documents of others, at a cost that is known before they are parsed.
//!
//! A document never becomes a tree of generic values: unused values are skipped and take no memory. Text is
//! read as Go's tools read it, since they write and check most images: bytes that are not UTF-8 and halves of
//! surrogate pairs become U+FFFD. Used fields stay strict.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use banger_tree::{Budget, Cost};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

mod error;
mod scan;

pub(crate) use error::JsonError;
use scan::TextScan;

/// Parses an object; its values are charged to `budget` first.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8], budget: &Budget) -> Result<T, JsonError> {
    let text = prepare(bytes, budget)?;
    from_text(&text)
}

/// Parses a list of objects; its values are charged to `budget` first.
pub(crate) fn parse_list<T: DeserializeOwned>(bytes: &[u8], budget: &Budget) -> Result<Vec<T>, JsonError> {
    #[derive(Deserialize)]
    #[serde(transparent, bound = "T: Deserialize<'de>")]
    struct List<T>(#[serde(deserialize_with = "objects")] Vec<T>);
    let text = prepare(bytes, budget)?;
    any_from_text::<List<T>>(&text).map(|list| list.0)
}

/// Parses an object of which [`prepare`] returned the text.
pub(crate) fn from_text<T: DeserializeOwned>(text: &str) -> Result<T, JsonError> {
    match any_from_text(text)? {
        LooseObject::Object(object) => Ok(object),
        LooseObject::Absent | LooseObject::Odd => Err(JsonError::Malformed("it is not an object".to_owned())),
    }
}

fn any_from_text<T: DeserializeOwned>(text: &str) -> Result<T, JsonError> {
    serde_json::from_str(text).map_err(|error| JsonError::Malformed(error.to_string()))
}

/// Counts and charges the values of a document, and returns its text.
pub(crate) fn prepare<'a>(bytes: &'a [u8], budget: &Budget) -> Result<Cow<'a, str>, JsonError> {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(JsonError::Malformed(
            "it starts with a byte order mark, which JSON must not have".to_owned(),
        ));
    }
    let mut scan = TextScan::default();
    scan.run(bytes)?;
    budget.charge(Cost::DocumentNodes, scan.values)?;
    Ok(match scan.mended {
        Some(mended) => Cow::Owned(String::from_utf8_lossy(&mended).into_owned()),
        None => String::from_utf8_lossy(bytes),
    })
}

/// A value of any kind, of which strings and whole numbers are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Loose {
    Text(String),
    Number(u64),
    /// `null`, or a value that is skipped.
    #[default]
    Other,
}

impl Loose {
    pub(crate) fn text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(_) | Self::Other => None,
        }
    }

    pub(crate) fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(_) | Self::Other => None,
        }
    }
}

fn pass_seq<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<(), A::Error> {
    while seq.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

fn pass_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

/// The visits of a skipped value, as `$empty`.
macro_rules! pass_over {
    ($empty:expr; $($kind:ident)*) => { $(pass_over!(@ $empty; $kind);)* };
    (@ $empty:expr; scalars) => {
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> { Ok($empty) }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> { Ok($empty) }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> { Ok($empty) }
        fn visit_unit<E>(self) -> Result<Self::Value, E> { Ok($empty) }
    };
    (@ $empty:expr; number) => {
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> { Ok($empty) }
    };
    (@ $empty:expr; text) => {
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> { Ok($empty) }
    };
    (@ $empty:expr; list) => {
        fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
            pass_seq(seq).map(|()| $empty)
        }
    };
    (@ $empty:expr; map) => {
        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            pass_map(map).map(|()| $empty)
        }
    };
}

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LooseVisitor;
        impl<'de> Visitor<'de> for LooseVisitor {
            type Value = Loose;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_str<E>(self, text: &str) -> Result<Loose, E> {
                Ok(Loose::Text(text.to_owned()))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Loose, E> {
                Ok(Loose::Number(number))
            }
            pass_over!(Loose::Other; scalars list map);
        }
        deserializer.deserialize_any(LooseVisitor)
    }
}

/// Reads a string; any other value counts as missing.
pub(crate) fn loose_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Loose::deserialize(deserializer).map(Loose::text)
}

/// Reads the strings of an object; skips other values, and anything that is not an object.
pub(crate) fn loose_map<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    struct MapVisitor;
    impl<'de> Visitor<'de> for MapVisitor {
        type Value = BTreeMap<String, String>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut strings = BTreeMap::new();
            while let Some(key) = map.next_key::<String>()? {
                // As in Go, the last one of two counts; one that is not a string does not.
                if let Loose::Text(text) = map.next_value()? {
                    strings.insert(key, text);
                }
            }
            Ok(strings)
        }
        pass_over!(BTreeMap::new(); scalars number text list);
    }
    deserializer.deserialize_any(MapVisitor)
}

/// Reads the keys of an object; any other value has no keys.
pub(crate) fn loose_keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<String>, D::Error> {
    struct KeyVisitor;
    impl<'de> Visitor<'de> for KeyVisitor {
        type Value = BTreeSet<String>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut keys = BTreeSet::new();
            while let Some((key, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
                keys.insert(key);
            }
            Ok(keys)
        }
        pass_over!(BTreeSet::new(); scalars number text list);
    }
    deserializer.deserialize_any(KeyVisitor)
}

/// Reads the strings of a list; skips other values, and anything that is not a list.
pub(crate) fn loose_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct ListVisitor;
    impl<'de> Visitor<'de> for ListVisitor {
        type Value = Vec<String>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut list = Vec::new();
            while let Some(value) = seq.next_element::<Loose>()? {
                list.extend(value.text());
            }
            Ok(list)
        }
        pass_over!(Vec::new(); scalars number text map);
    }
    deserializer.deserialize_any(ListVisitor)
}

/// Reads a list of words as Docker does: `null` is an empty list, one string is a list of one word, and
/// `null` in the list is an empty string. Anything else is an error.
pub(crate) fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct WordVisitor;
    impl<'de> Visitor<'de> for WordVisitor {
        type Value = Vec<String>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of strings")
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }
        fn visit_str<E>(self, word: &str) -> Result<Self::Value, E> {
            Ok(vec![word.to_owned()])
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut list = Vec::new();
            while let Some(word) = seq.next_element::<Option<String>>()? {
                list.push(word.unwrap_or_default());
            }
            Ok(list)
        }
    }
    deserializer.deserialize_any(WordVisitor)
}

/// Reads `null` as the default value: Go programs write it for lists and maps without entries.
pub(crate) fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads an object. Serde also accepts a list of its fields; no other reader does, so this is an error.
pub(crate) fn object<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    match LooseObject::deserialize(deserializer)? {
        LooseObject::Object(object) => Ok(object),
        LooseObject::Absent | LooseObject::Odd => Err(serde::de::Error::custom("expected an object")),
    }
}

/// Reads an object, or `null` as the default value.
pub(crate) fn nullable_object<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    match LooseObject::deserialize(deserializer)? {
        LooseObject::Object(object) => Ok(object),
        LooseObject::Absent => Ok(T::default()),
        LooseObject::Odd => Err(serde::de::Error::custom("expected an object")),
    }
}

/// Reads a list of objects; `null` is an empty list.
pub(crate) fn objects<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct ObjectsVisitor<T>(std::marker::PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectsVisitor<T> {
        type Value = Vec<T>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of objects")
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut list = Vec::new();
            while let Some(element) = seq.next_element::<LooseObject<T>>()? {
                match element {
                    LooseObject::Object(object) => list.push(object),
                    LooseObject::Absent | LooseObject::Odd => {
                        return Err(serde::de::Error::custom("expected an object"));
                    }
                }
            }
            Ok(list)
        }
    }
    deserializer.deserialize_any(ObjectsVisitor(std::marker::PhantomData))
}

/// A value that is an object, or is not of interest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum LooseObject<T> {
    /// `null`, or not there.
    #[default]
    Absent,
    Object(T),
    /// Something else.
    Odd,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for LooseObject<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = LooseObject<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(LooseObject::Object)
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(LooseObject::Absent)
            }
            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(LooseObject::Odd)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(LooseObject::Odd)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(LooseObject::Odd)
            }
            pass_over!(LooseObject::Odd; number text list);
        }
        deserializer.deserialize_any(ObjectVisitor(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, JsonError> {
        read_within(text, &Budget::default())
    }

    fn read_within<T: DeserializeOwned>(text: &[u8], budget: &Budget) -> Result<T, JsonError> {
        any_from_text(&prepare(text, budget)?)
    }

    #[test]
    fn values_are_charged_before_they_are_parsed() {
        for (text, values) in [("5", 1), ("[]", 2), ("[1,2]", 3), (r#"{"a":[{},"[,{"]}"#, 5)] {
            let budget = Budget::default();
            let _: IgnoredAny = read_within(text.as_bytes(), &budget).unwrap();
            assert_eq!(budget.spent(Cost::DocumentNodes), values, "{text}");
            let tight = Budget::default().with_limit(Cost::DocumentNodes, values - 1);
            let error = read_within::<IgnoredAny>(text.as_bytes(), &tight).unwrap_err();
            assert!(matches!(error, JsonError::OverBudget(_)), "{text}");
        }
    }

    #[test]
    fn b48_odd_text_is_read_as_go_reads_it() {
        for (text, read_as) in [
            (&b"\"caf\xe9\""[..], "caf\u{fffd}"),
            (br#""a\ud800b""#, "a\u{fffd}b"),
            (br#""\udc00""#, "\u{fffd}"),
            (br#""\ud800\ud800""#, "\u{fffd}\u{fffd}"),
            (br#""\ud83d\ude00""#, "\u{1f600}"),
            (br#""\uD83D\uDE00""#, "\u{1f600}"),
            (br#""\\ud800""#, "\\ud800"),
            (br#""\"\ud8""#, ""),
        ] {
            match read::<String>(text) {
                Ok(found) => assert_eq!(found, read_as),
                Err(error) => assert!(read_as.is_empty(), "{error}"),
            }
        }
    }

    #[test]
    fn deep_values_end_where_those_of_go_do() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth)).into_bytes();
        assert!(read::<IgnoredAny>(&nested(10_000)).is_ok());
        let error = read::<IgnoredAny>(&nested(10_001)).unwrap_err();
        assert!(error.to_string().contains("10000"), "{error}");
        assert_eq!(read::<Loose>(&nested(10_000)).unwrap(), Loose::Other);
    }

    #[test]
    fn marks_and_tails_are_refused() {
        for text in [&b"\xef\xbb\xbf{}"[..], b"{} {}", b"{}\0", b"", b"{", b"{\"a\"}", b"[1,]"] {
            assert!(read::<IgnoredAny>(text).is_err(), "{text:?}");
        }
        assert!(read::<IgnoredAny>(b" {} \n").is_ok());
        assert!(read::<IgnoredAny>(br#"[123456789012345678901234567890, 1.5e300, 1E400]"#).is_ok());
    }

    #[test]
    fn a_list_of_fields_is_no_object() {
        #[derive(Debug, Deserialize)]
        struct Pair {
            #[allow(dead_code)]
            a: u8,
            #[allow(dead_code)]
            b: u8,
        }
        let budget = Budget::default();
        assert!(parse::<Pair>(br#"{"a":1,"b":2}"#, &budget).is_ok());
        for text in ["[1,2]", "null", "5"] {
            assert!(parse::<Pair>(text.as_bytes(), &budget).is_err(), "{text}");
        }
        assert_eq!(parse_list::<Pair>(br#"[{"a":1,"b":2}]"#, &budget).unwrap().len(), 1);
        assert!(parse_list::<Pair>(b"null", &budget).unwrap().is_empty());
        for text in ["[[1,2]]", "[null]", r#"{"a":1,"b":2}"#] {
            assert!(parse_list::<Pair>(text.as_bytes(), &budget).is_err(), "{text}");
        }
    }

    #[test]
    fn b48_what_nobody_needs_may_be_anything() {
        #[derive(Debug, Default, PartialEq, Deserialize)]
        #[serde(default)]
        struct Odd {
            #[serde(deserialize_with = "loose_text")]
            text: Option<String>,
            #[serde(deserialize_with = "loose_map")]
            map: BTreeMap<String, String>,
            #[serde(deserialize_with = "loose_keys")]
            keys: BTreeSet<String>,
            #[serde(deserialize_with = "loose_list")]
            list: Vec<String>,
        }
        for value in ["null", "5", "-5", "1.5", "true", "\"x\"", "[1,[2]]", "{\"a\":{\"b\":null}}"] {
            let text = format!(r#"{{"text":{value},"map":{value},"keys":{value},"list":{value}}}"#);
            let odd: Odd = read(text.as_bytes()).unwrap_or_else(|error| panic!("{value}: {error}"));
            assert_eq!(odd.text.is_some(), value == "\"x\"", "{value}");
            assert_eq!(odd.keys.len(), usize::from(value.starts_with('{')), "{value}");
            assert!(odd.map.is_empty() && odd.list.is_empty(), "{value}");
        }
        let odd: Odd = read(br#"{"map":{"a":null,"b":"c"},"list":[null,"d"]}"#).unwrap();
        assert_eq!((odd.map["b"].as_str(), odd.list[0].as_str()), ("c", "d"));
    }
}
