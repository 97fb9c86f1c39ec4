//! How numbers are written on the page: three decimals, thousands separators, a true minus sign.

/// A measurement with three decimals: `0.981`, `−0.042`, `1,204.500`.
pub(super) fn decimal(x: f64) -> String {
    if !x.is_finite() {
        return "undefined".into();
    }
    let text = format!("{:.3}", x.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let sign = if x < 0.0 && text != "0.000" { "−" } else { "" };
    format!("{sign}{}.{fraction}", grouped(whole))
}

/// A difference with its sign always shown: `+0.012`.
pub(super) fn signed(x: f64) -> String {
    let text = decimal(x);
    if x > 0.0 && text != "0.000" { format!("+{text}") } else { text }
}

/// A count: `541,909`.
pub(super) fn count(n: u64) -> String {
    grouped(&n.to_string())
}

/// A value at a chart's axis, in as few characters as say it: `12`, `0.25`, `1,200`, `3.1e7`.
pub(super) fn axis(x: f64) -> String {
    let size = x.abs();
    let sign = if x < 0.0 { "−" } else { "" };
    match size {
        _ if !x.is_finite() => "undefined".into(),
        0.0 => "0".into(),
        _ if !(1e-3..1e7).contains(&size) => format!("{x:.1e}").replace('-', "−"),
        _ if size >= 100.0 || size.fract() == 0.0 => format!("{sign}{}", grouped(&format!("{size:.0}"))),
        _ if size >= 1.0 => format!("{sign}{}", trimmed(format!("{size:.1}"))),
        _ => format!("{sign}{}", trimmed(format!("{size:.3}"))),
    }
}

/// Drops zeros that say nothing at the end of a decimal fraction.
fn trimmed(text: String) -> String {
    text.trim_end_matches('0').trim_end_matches('.').into()
}

/// Puts a comma between groups of three digits.
fn grouped(digits: &str) -> String {
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measurements_have_three_decimals() {
        let cases =
            [(0.98149, "0.981"), (-0.0421, "−0.042"), (-0.0001, "0.000"), (1204.5, "1,204.500"), (1.0, "1.000")];
        for (x, text) in cases {
            assert_eq!(decimal(x), text);
        }
        assert_eq!(decimal(f64::NAN), "undefined");
        assert_eq!((signed(0.25), signed(-0.25), signed(0.0)), ("+0.250".into(), "−0.250".into(), "0.000".into()));
    }

    #[test]
    fn counts_are_grouped() {
        let cases =
            [(0, "0"), (999, "999"), (1000, "1,000"), (541_909, "541,909"), (u64::MAX, "18,446,744,073,709,551,615")];
        for (n, text) in cases {
            assert_eq!(count(n), text);
        }
    }

    #[test]
    fn axis_values_are_short() {
        let cases = [
            (0.0, "0"),
            (0.25, "0.25"),
            (12.0, "12"),
            (12.34, "12.3"),
            (1200.4, "1,200"),
            (-3.0, "−3"),
            (3.1e7, "3.1e7"),
        ];
        for (x, text) in cases {
            assert_eq!(axis(x), text);
        }
    }
}
