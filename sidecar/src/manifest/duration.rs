//! Durations as people write them: `500ms`, `5s`, `2m`, `1h`, or a number of seconds.

use std::time::Duration;

use mesh_api::document::{kind, quoted, string};
use serde_json::Value;

/// Shortest and longest duration that a manifest can set.
const DURATIONS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(86_400));

/// Reads a duration.
pub(super) fn duration(value: &Value) -> Result<Duration, String> {
    let text = match value {
        Value::Number(number) => format!("{number}s"),
        other => string(other)
            .map_err(|_| format!("must be a duration such as 500ms or 5s, got {}", kind(other)))?,
    };
    let fault =
        || format!("must be a duration from 1ms to 24h such as 500ms, 5s, 2m or 1h, got {}", quoted(&text));
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let seconds = match text[unit_at..].trim() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err(fault()),
    };
    let number: f64 = text[..unit_at].trim().parse().map_err(|_| fault())?;
    let duration = Duration::try_from_secs_f64(number * seconds).map_err(|_| fault())?;
    if (DURATIONS.0..=DURATIONS.1).contains(&duration) { Ok(duration) } else { Err(fault()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_units() {
        let read = |text: &str| duration(&Value::from(text));
        assert_eq!(read("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(read("1.5 s"), Ok(Duration::from_millis(1_500)));
        assert_eq!(read("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration(&Value::from(3)), Ok(Duration::from_secs(3)));
        for bad in ["", "s", "5 parsecs", "-1s", "0", "1e300h", "NaN"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
