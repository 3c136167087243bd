//! Exact numbers. A number *is* the decimal that it is printed as: `0.1` is one tenth, not the
//! nearest binary fraction.

use std::fmt;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Signed, ToPrimitive, Zero};
use serde_json::Number;

/// An exact number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Decimal(BigRational);

impl Decimal {
    /// The value of a JSON number.
    pub(crate) fn of(number: &Number) -> Self {
        if let Some(integer) = number.as_i64() {
            return integer.into();
        }
        if let Some(integer) = number.as_u64() {
            return Self(BigInt::from(integer).into());
        }
        // `{:e}` prints the fewest digits that name the double.
        number
            .as_f64()
            .map(|double| format!("{double:e}"))
            .and_then(|text| scientific(&text))
            .map_or_else(|| 0.into(), Self)
    }

    pub(crate) fn is_integer(&self) -> bool {
        self.0.is_integer()
    }

    pub(crate) fn is_positive(&self) -> bool {
        self.0.is_positive()
    }

    pub(crate) fn is_multiple_of(&self, unit: &Self) -> bool {
        (&self.0 / &unit.0).is_integer()
    }

    /// The least multiple of `unit` that is no less.
    pub(crate) fn ceil_to(&self, unit: &Self) -> Self {
        Self((&self.0 / &unit.0).ceil() * &unit.0)
    }

    /// The greatest multiple of `unit` that is no greater.
    pub(crate) fn floor_to(&self, unit: &Self) -> Self {
        Self((&self.0 / &unit.0).floor() * &unit.0)
    }

    /// The least positive multiple of both.
    pub(crate) fn common_multiple(&self, other: &Self) -> Self {
        let numerator =
            num_integer::lcm(self.0.numer() * other.0.denom(), other.0.numer() * self.0.denom());
        Self(BigRational::new(numerator, self.0.denom() * other.0.denom()))
    }

    pub(crate) fn plus(&self, other: &Self) -> Self {
        Self(&self.0 + &other.0)
    }

    pub(crate) fn minus(&self, other: &Self) -> Self {
        Self(&self.0 - &other.0)
    }

    /// `self` divided by a power of ten.
    pub(crate) fn shifted_right(&self, places: u32) -> Self {
        Self(&self.0 / BigInt::from(10).pow(places))
    }

    /// The value as a count; what is greater than any count is the greatest.
    ///
    /// `None` for what is no whole number from 0.
    pub(crate) fn to_count(&self) -> Option<u64> {
        let whole = self.is_integer() && !self.0.is_negative();
        whole.then(|| self.0.to_integer().to_u64().unwrap_or(u64::MAX))
    }

    /// The JSON number of this value, if there is one.
    pub(crate) fn to_number(&self) -> Option<Number> {
        if self.is_integer() {
            let integer = self.0.to_integer();
            if let Some(small) = integer.to_i64() {
                return Some(small.into());
            }
            if let Some(small) = integer.to_u64() {
                return Some(small.into());
            }
        }
        let number = Number::from_f64(self.0.to_f64()?)?;
        (Self::of(&number) == *self).then_some(number)
    }

    /// Numerator and denominator in lowest terms: one text a value.
    pub(crate) fn to_ratio(&self) -> String {
        format!("{}/{}", self.0.numer(), self.0.denom())
    }
}

impl From<i64> for Decimal {
    fn from(integer: i64) -> Self {
        Self(BigInt::from(integer).into())
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_number() {
            Some(number) => number.fmt(f),
            None => self.0.fmt(f),
        }
    }
}

/// The value of a text as in `-1.5e-7`.
fn scientific(text: &str) -> Option<BigRational> {
    let (mantissa, exponent) = text.split_once('e')?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: BigInt = format!("{whole}{fraction}").parse().ok()?;
    let power = exponent.parse::<i32>().ok()? - i32::try_from(fraction.len()).ok()?;
    if digits.is_zero() {
        return Some(BigRational::zero());
    }
    let scale = BigInt::from(10).pow(power.unsigned_abs());
    Some(if power < 0 { BigRational::new(digits, scale) } else { (digits * scale).into() })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn decimal(text: &str) -> Decimal {
        match serde_json::from_str(text).expect("JSON") {
            Value::Number(number) => Decimal::of(&number),
            other => panic!("{other} is no number"),
        }
    }

    #[test]
    fn a_number_is_what_it_is_printed_as() {
        assert_eq!(decimal("0.1").plus(&decimal("0.2")), decimal("0.3"));
        assert_eq!(decimal("1.0"), 1.into());
        assert_eq!(decimal("-0.0"), 0.into());
        assert!(decimal("1e300") > decimal("18446744073709551615"));
        assert_eq!(decimal("1e22").to_ratio(), "10000000000000000000000/1");
        assert!(decimal("9007199254740993") > decimal("9007199254740992.0"));
        assert!(decimal("5e-324").is_positive());
    }

    #[test]
    fn multiples_are_exact() {
        assert!(decimal("0.07").is_multiple_of(&decimal("0.01")));
        assert!(!decimal("0.075").is_multiple_of(&decimal("0.01")));
        assert_eq!(decimal("0.6").common_multiple(&decimal("0.4")), decimal("1.2"));
        assert_eq!(decimal("7").ceil_to(&decimal("2.5")), decimal("7.5"));
        assert_eq!(decimal("-7").floor_to(&decimal("2.5")), decimal("-7.5"));
    }

    #[test]
    fn what_no_number_can_say_is_not_said() {
        assert_eq!(decimal("0.5").to_number().map(|n| n.to_string()), Some("0.5".into()));
        let huge = decimal("18446744073709551615").plus(&1.into());
        assert_eq!(huge.to_number().map(|n| n.to_string()), None);
        assert_eq!(huge.to_string(), "18446744073709551616");
        assert_eq!(huge.to_count(), Some(u64::MAX));
        assert_eq!(decimal("0.5").to_count(), None);
        assert_eq!(decimal("-1").to_count(), None);
    }
}
