//! Numbers as headers have them.
//!
//! Owns: how they are written, without memory of their own where they are small. Must not know: which header.

use http::header::HeaderValue;

/// A number as a header has it.
pub(in crate::bundled) fn amount(number: f64) -> HeaderValue {
    if number.fract() == 0.0 && number < 1e15 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number from 0 to 1e15"
        )]
        return whole(number as u64);
    }
    // Digits, a dot and `inf` can always stand in a header.
    HeaderValue::try_from(number.to_string()).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// All numbers of up to three digits, one after the other, so that most values need no memory.
static DIGITS: [u8; 3000] = {
    let mut digits = [0; 3000];
    let mut n = 0;
    while n < 1000 {
        digits[n * 3] = b'0' + (n / 100) as u8;
        digits[n * 3 + 1] = b'0' + (n / 10 % 10) as u8;
        digits[n * 3 + 2] = b'0' + (n % 10) as u8;
        n += 1;
    }
    digits
};

/// The same of a whole number.
pub(in crate::bundled) fn whole(number: u64) -> HeaderValue {
    let digits = usize::try_from(number).ok().filter(|n| *n < 1000).and_then(|n| {
        let skipped = usize::from(n < 100) + usize::from(n < 10);
        std::str::from_utf8(&DIGITS[n * 3 + skipped..n * 3 + 3]).ok()
    });
    digits.map_or_else(|| HeaderValue::from(number), HeaderValue::from_static)
}
