//! The request `stats`: a client's measurements.

use super::{Fields, Wrong};
use crate::quality::{ClientFacts, Inbound, Outbound, Report};

const INBOUND_MAX: usize = 256;
const OUTBOUND_MAX: usize = 32;
const WORD_BYTES_MAX: usize = 64;
const MID_BYTES_MAX: usize = 64;
/// A tab in the background is woken once a minute.
const INTERVAL_MS_MAX: u32 = 600_000;
const COUNT_MAX: u32 = 100_000_000;
const MS_MAX: u32 = 600_000;
const PIXELS_MAX: u32 = 65_535;
const PPM_MAX: u32 = 1_000_000;

pub(super) fn report(fields: &Fields) -> Result<Report, Wrong> {
    Ok(Report {
        interval_ms: match fields.number("interval_ms", INTERVAL_MS_MAX)? {
            Some(interval_ms) if interval_ms > 0 => interval_ms,
            _ => return Err(fields.wrong("interval_ms", format!("must be a whole number from 1 to {INTERVAL_MS_MAX}"))),
        },
        client: ClientFacts {
            browser: fields.text_or_empty("browser", WORD_BYTES_MAX)?,
            device: fields.text_or_empty("device", WORD_BYTES_MAX)?,
            network: fields.text_or_empty("network", WORD_BYTES_MAX)?,
            region: fields.text_or_empty("region", WORD_BYTES_MAX)?,
        },
        rtt_ms: fields.number("rtt_ms", MS_MAX)?,
        inbound: fields.list("inbound", INBOUND_MAX)?.iter().map(inbound).collect::<Result<_, _>>()?,
        outbound: fields.list("outbound", OUTBOUND_MAX)?.iter().map(outbound).collect::<Result<_, _>>()?,
    })
}

fn inbound(fields: &Fields) -> Result<Inbound, Wrong> {
    Ok(Inbound {
        mid: fields.text("mid", MID_BYTES_MAX)?,
        video: fields.bool_or("video", false)?,
        packets: count(fields, "packets", COUNT_MAX)?,
        lost: count(fields, "lost", COUNT_MAX)?,
        jitter_ms: count(fields, "jitter_ms", MS_MAX)?,
        delay_ms: count(fields, "delay_ms", MS_MAX)?,
        frames_per_s: count(fields, "frames_per_s", 1_000)?,
        width: count(fields, "width", PIXELS_MAX)?,
        height: count(fields, "height", PIXELS_MAX)?,
        freezes: count(fields, "freezes", COUNT_MAX)?,
        frozen_ms: count(fields, "frozen_ms", MS_MAX)?,
    })
}

fn outbound(fields: &Fields) -> Result<Outbound, Wrong> {
    Ok(Outbound {
        mid: fields.text("mid", MID_BYTES_MAX)?,
        video: fields.bool_or("video", false)?,
        packets: count(fields, "packets", COUNT_MAX)?,
        lost_ppm: fields.number("lost_ppm", PPM_MAX)?,
        frames_per_s: count(fields, "frames_per_s", 1_000)?,
        width: count(fields, "width", PIXELS_MAX)?,
        height: count(fields, "height", PIXELS_MAX)?,
        limitation: fields.text_or_empty("limitation", WORD_BYTES_MAX)?,
    })
}

fn count(fields: &Fields, name: &str, max: u32) -> Result<u32, Wrong> {
    Ok(fields.number(name, max)?.unwrap_or(0))
}
