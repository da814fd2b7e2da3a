//! A serializer that refuses skipped fields.
//!
//! A format without field names reads as many fields as the type has, so a field that
//! `skip_serializing_if` leaves out shifts all that follow, and the result can even be a valid
//! value. serde's derive reports such a field through `skip_field`, which these formats ignore.
//! Every serializer below the root is wrapped, too, so that nested structs are covered.
//!
//! Not reported, and so not refused here: a field of a tuple struct that is skipped, and one with
//! `skip_serializing` but without `skip_deserializing`.

use std::cell::Cell;
use std::fmt::Display;

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::Cause;

/// The value as postcard.
pub(super) fn to_postcard<T: Serialize>(value: &T) -> Result<Vec<u8>, Cause> {
    let skipped = Cell::new(None);
    let strict = Strict {
        inner: value,
        skipped: &skipped,
    };
    let data = postcard::to_stdvec(&strict);
    match skipped.get() {
        Some(field) => Err(format!(
            "field {field:?} was skipped; the format has no field names, so no field may be left out: \
            remove skip_serializing_if"
        )
        .into()),
        None => Ok(data?),
    }
}

/// A value to serialize, a serializer, or a compound that is being serialized.
struct Strict<'s, I> {
    inner: I,
    /// The name of a field that was skipped.
    skipped: &'s Cell<Option<&'static str>>,
}

impl<'s, I> Strict<'s, I> {
    /// The same for another part of the value.
    fn with<J>(&self, inner: J) -> Strict<'s, J> {
        Strict {
            inner,
            skipped: self.skipped,
        }
    }

    fn skip<E: serde::ser::Error>(&self, field: &'static str) -> Result<(), E> {
        self.skipped.set(Some(field));
        Err(E::custom("a field was skipped"))
    }
}

impl<T: Serialize + ?Sized> Serialize for Strict<'_, &T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.inner.serialize(self.with(serializer))
    }
}

/// Methods that hand a value without parts on.
macro_rules! forward {
    ($($method:ident($($argument:ident: $type:ty),*);)+) => {
        $(fn $method(self, $($argument: $type),*) -> Result<S::Ok, S::Error> {
            self.inner.$method($($argument),*)
        })+
    };
}

/// Methods that begin a compound, whose parts are wrapped in turn.
macro_rules! begin {
    ($($method:ident($($argument:ident: $type:ty),*) -> $compound:ident;)+) => {
        $(fn $method(self, $($argument: $type),*) -> Result<Self::$compound, S::Error> {
            let skipped = self.skipped;
            let inner = self.inner.$method($($argument),*)?;
            Ok(Strict { inner, skipped })
        })+
    };
}

impl<'s, S: Serializer> Serializer for Strict<'s, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Strict<'s, S::SerializeSeq>;
    type SerializeTuple = Strict<'s, S::SerializeTuple>;
    type SerializeTupleStruct = Strict<'s, S::SerializeTupleStruct>;
    type SerializeTupleVariant = Strict<'s, S::SerializeTupleVariant>;
    type SerializeMap = Strict<'s, S::SerializeMap>;
    type SerializeStruct = Strict<'s, S::SerializeStruct>;
    type SerializeStructVariant = Strict<'s, S::SerializeStructVariant>;

    forward! {
        serialize_bool(value: bool);
        serialize_i8(value: i8);
        serialize_i16(value: i16);
        serialize_i32(value: i32);
        serialize_i64(value: i64);
        serialize_i128(value: i128);
        serialize_u8(value: u8);
        serialize_u16(value: u16);
        serialize_u32(value: u32);
        serialize_u64(value: u64);
        serialize_u128(value: u128);
        serialize_f32(value: f32);
        serialize_f64(value: f64);
        serialize_char(value: char);
        serialize_str(value: &str);
        serialize_bytes(value: &[u8]);
        serialize_none();
        serialize_unit();
        serialize_unit_struct(name: &'static str);
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str);
    }

    begin! {
        serialize_seq(len: Option<usize>) -> SerializeSeq;
        serialize_tuple(len: usize) -> SerializeTuple;
        serialize_tuple_struct(name: &'static str, len: usize) -> SerializeTupleStruct;
        serialize_tuple_variant(name: &'static str, index: u32, variant: &'static str, len: usize)
            -> SerializeTupleVariant;
        serialize_map(len: Option<usize>) -> SerializeMap;
        serialize_struct(name: &'static str, len: usize) -> SerializeStruct;
        serialize_struct_variant(name: &'static str, index: u32, variant: &'static str, len: usize)
            -> SerializeStructVariant;
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        let value = self.with(value);
        self.inner.serialize_some(&value)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let value = self.with(value);
        self.inner.serialize_newtype_struct(name, &value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let value = self.with(value);
        self.inner.serialize_newtype_variant(name, index, variant, &value)
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.collect_str(value)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// Compounds whose parts have no names.
macro_rules! unnamed {
    ($($trait:ident: $($part:ident),+;)+) => {
        $(impl<C: $trait> $trait for Strict<'_, C> {
            type Ok = C::Ok;
            type Error = C::Error;

            $(fn $part<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
                let value = self.with(value);
                self.inner.$part(&value)
            })+

            fn end(self) -> Result<C::Ok, C::Error> {
                self.inner.end()
            }
        })+
    };
}

unnamed! {
    SerializeSeq: serialize_element;
    SerializeTuple: serialize_element;
    SerializeTupleStruct: serialize_field;
    SerializeTupleVariant: serialize_field;
    SerializeMap: serialize_key, serialize_value;
}

/// Compounds with named fields.
macro_rules! named {
    ($($trait:ident)+) => {
        $(impl<C: $trait> $trait for Strict<'_, C> {
            type Ok = C::Ok;
            type Error = C::Error;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), C::Error> {
                let value = self.with(value);
                self.inner.serialize_field(key, &value)
            }

            fn skip_field(&mut self, key: &'static str) -> Result<(), C::Error> {
                self.skip(key)
            }

            fn end(self) -> Result<C::Ok, C::Error> {
                self.inner.end()
            }
        })+
    };
}

named! { SerializeStruct SerializeStructVariant }
