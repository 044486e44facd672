//! Sums and digits as a redis-server on x86-64 gives them, to the last one.

use super::*;

fn number(text: &str) -> LongDouble {
    LongDouble::parse(text.as_bytes()).unwrap_or_else(|| panic!("{text} is a number"))
}

fn check_sum(one: &str, other: &str, sum: &str) {
    let added = number(one).checked_add(number(other)).expect("the sum is finite");
    assert_eq!(added.print(), sum, "{one} + {other}");
}

#[test]
fn sums_are_those_of_a_redis_server() {
    check_sum("10.50", "0.1", "10.6");
    check_sum("0.1", "0.2", "0.3");
    check_sum("5.0e3", "2.0e2", "5200");
    check_sum("0", "-0", "0");
    check_sum("1", "-1", "0");
    check_sum("1.5", "-1.5e0", "0");
    check_sum("3", "1.000000000000000005", "4.00000000000000001");
    check_sum("17179869184", "1.5", "17179869185.5");
    check_sum("1e4000", "-1e4000", "0");
    check_sum("-1e-4000", "0", "0");
}

#[test]
fn digits_read_and_print_exactly() {
    for (text, printed) in [
        ("0", "0"),
        ("-0", "0"),
        (".5", "0.5"),
        ("5.", "5"),
        ("+1e2", "100"),
        ("0x10p-1", "8"),
        ("0x.8", "0.5"),
        ("0xA", "10"),
        ("1e20", "100000000000000000000"),
        ("18446744073709551615", "18446744073709551615"),
        ("18446744073709551617", "18446744073709551616"),
        ("18446744073709551619", "18446744073709551620"),
        ("1e-17", "0.00000000000000001"),
        ("4e-18", "0"),
        ("-4e-18", "0"),
        ("6e-18", "0.00000000000000001"),
        ("0.1", "0.1"),
        ("123.456", "123.456"),
        ("9007199254740993.5", "9007199254740993.5"),
    ] {
        assert_eq!(number(text).print(), printed, "{text}");
    }
    assert_eq!(number("1e4932").print().len(), 4933);
    assert!(!number("-Infinity").is_finite() && !number("inf").is_finite());
}

#[test]
fn what_redis_refuses_is_refused() {
    for text in [
        "", " 1", "1 ", "-", ".", "1e", "1e+", "0x", "0x.p1", "nan", "NaN", "infinit", "1e5000", "1e-5000",
        "1..2",
    ] {
        assert_eq!(LongDouble::parse(text.as_bytes()), None, "{text:?}");
    }
    assert_eq!(LongDouble::parse(&[b'1'; TEXT_MAX]), None);
    assert_eq!(number("inf").checked_add(number("1")), None);
    assert_eq!(number("1.1e4932").checked_add(number("1.1e4932")), None);
}
