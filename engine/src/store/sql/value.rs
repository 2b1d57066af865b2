//! What goes into a statement and what comes out of it.

use crate::store::sql::{Failed, Outcome, damaged};

/// A value as databases keep it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// A parameter of a statement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Param<'a> {
    Null,
    Integer(i64),
    Text(&'a str),
    Bytes(&'a [u8]),
}

/// What may be given to a statement.
pub trait ToParam {
    fn to_param(&self) -> Param<'_>;
}

/// The parameters of a statement, by their numbers from 1 on.
macro_rules! params {
    ($($value:expr),* $(,)?) => { &[$(&$value as &dyn $crate::store::sql::value::ToParam),*] as &[&dyn $crate::store::sql::value::ToParam] };
}
pub(crate) use params;

/// One row of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Row(pub Vec<Value>);

impl Row {
    /// The value of the column `at`.
    pub fn get<T: FromValue>(&self, at: usize) -> Outcome<T> {
        self.0.get(at).and_then(T::from_value).ok_or_else(|| damaged("column"))
    }

    /// The column `at` as it is.
    pub fn value(&self, at: usize) -> &Value {
        self.0.get(at).unwrap_or(&Value::Null)
    }
}

/// What may be taken from a row; `None` where the value is of another kind.
pub trait FromValue: Sized {
    fn from_value(value: &Value) -> Option<Self>;
}

/// How many rows a statement has changed or returned, and these.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    pub rows: Vec<Row>,
    pub changed: usize,
}

impl<T: ToParam + ?Sized> ToParam for &T {
    fn to_param(&self) -> Param<'_> {
        (**self).to_param()
    }
}

macro_rules! integers {
    ($($kind:ty),*) => { $(
        impl ToParam for $kind {
            /// Numbers that do not fit are bounds which nothing reaches.
            fn to_param(&self) -> Param<'_> {
                Param::Integer(i64::try_from(*self).unwrap_or(i64::MAX))
            }
        }

        impl FromValue for $kind {
            fn from_value(value: &Value) -> Option<Self> {
                match value {
                    Value::Integer(number) => Self::try_from(*number).ok(),
                    _ => None,
                }
            }
        }
    )* };
}

integers!(u8, u16, u32, u64, usize, i32, i64);

impl ToParam for bool {
    fn to_param(&self) -> Param<'_> {
        Param::Integer(i64::from(*self))
    }
}

impl FromValue for bool {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Integer(number) => Some(*number != 0),
            _ => None,
        }
    }
}

impl ToParam for str {
    fn to_param(&self) -> Param<'_> {
        Param::Text(self)
    }
}

impl ToParam for String {
    fn to_param(&self) -> Param<'_> {
        Param::Text(self)
    }
}

impl FromValue for String {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        }
    }
}

impl ToParam for [u8] {
    fn to_param(&self) -> Param<'_> {
        Param::Bytes(self)
    }
}

impl<const N: usize> ToParam for [u8; N] {
    fn to_param(&self) -> Param<'_> {
        Param::Bytes(self)
    }
}

impl<const N: usize> FromValue for [u8; N] {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Bytes(bytes) => Self::try_from(bytes.as_slice()).ok(),
            _ => None,
        }
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Bytes(bytes) => Some(bytes.clone()),
            _ => None,
        }
    }
}

impl<T: ToParam> ToParam for Option<T> {
    fn to_param(&self) -> Param<'_> {
        self.as_ref().map_or(Param::Null, ToParam::to_param)
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            other => T::from_value(other).map(Some),
        }
    }
}

/// What a statement has answered, or why it has not.
pub type Answered = Result<Table, Broken>;

/// Why a database did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Another transaction was in the way: the same once more may go well.
    Conflict(String),
    /// The disk is full.
    Full(String),
    /// The database cannot be reached: nothing is known of what was not committed before.
    Gone(String),
    /// Anything else: a damaged file, a statement that it does not know.
    Other(String),
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Conflict(text) | Self::Full(text) | Self::Gone(text) | Self::Other(text)) = self;
        f.write_str(text)
    }
}

impl From<Broken> for Failed {
    fn from(broken: Broken) -> Self {
        Self::Database(broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_and_another_kind_is_a_damaged_database() {
        let row = Row(vec![Value::Integer(7), Value::Text("ada".into()), Value::Bytes(vec![1, 2]), Value::Null]);
        assert!(matches!(row.get::<u8>(0), Ok(7)) && matches!(row.get::<bool>(0), Ok(true)));
        assert!(matches!(row.get::<Option<String>>(3), Ok(None)));
        assert!(matches!(row.get::<[u8; 2]>(2), Ok([1, 2])) && row.get::<[u8; 3]>(2).is_err());
        assert!(row.get::<String>(0).is_err() && row.get::<u8>(9).is_err());
        assert!(Row(vec![Value::Integer(-1)]).get::<u64>(0).is_err());
        assert_eq!(u64::MAX.to_param(), Param::Integer(i64::MAX));
        assert_eq!(Some("x").to_param(), Param::Text("x"));
    }
}
