//! Enums that a column holds: a number in the tables, and a word for people.

/// Makes an enum of `Variant = number "word"`. The numbers are the tables' own: none is used again for something else.
macro_rules! column_enum {
    ($(#[$about:meta])* $name:ident {
        $($(#[$value_about:meta])* $value:ident = $number:literal $word:literal,)+
    }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum $name {
            $($(#[$value_about])* $value,)+
        }

        #[allow(dead_code, reason = "not every column is read, and not every word is said")]
        impl $name {
            /// Every value, in the order of their numbers.
            pub(crate) const ALL: &[Self] = &[$(Self::$value,)+];

            /// The number that the column holds.
            pub(crate) fn column(self) -> i16 {
                match self {
                    $(Self::$value => $number,)+
                }
            }

            /// Reads the number that the column holds.
            pub(crate) fn from_column(number: i16) -> Option<Self> {
                match number {
                    $($number => Some(Self::$value),)+
                    _ => None,
                }
            }

            /// The word for it in views, metrics and logs.
            pub(crate) fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $word,)+
                }
            }
        }
    };
}

pub(crate) use column_enum;
