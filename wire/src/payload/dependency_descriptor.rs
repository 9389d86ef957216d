//! The dependency descriptor (AV1 RTP specification, appendix A): which layer a frame belongs to and who can do without it, in a header
//! extension, for any codec.
//!
//! A descriptor names a template; templates come in a structure with a keyframe and hold until the next one. So [`Reader`] is one stream's
//! state.

use super::ParseError;
use super::bits::{Bits, BitsMut};

/// Bounds of the format.
pub const TEMPLATES_MAX: usize = 64;
pub const DECODE_TARGETS_MAX: u8 = 32;
const SPATIAL_MAX: usize = 4;
const TEMPORAL_MAX: u8 = 7;

/// Reads the descriptors of one stream and remembers its structure.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    /// Boxed: two kilobytes that most streams never have. Made with the first structure and used again for the next.
    structure: Option<Box<Structure>>,
}

/// What one packet's descriptor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    pub start_of_frame: bool,
    pub end_of_frame: bool,
    /// Counts frames of all layers.
    pub frame_number: u16,
    /// It brought a structure: the frame is a keyframe of the base layer.
    pub has_structure: bool,
    /// `None` as long as the stream's structure has not been seen.
    pub frame: Option<Frame>,
}

/// The place of a frame in its stream's structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// 0..=3.
    pub spatial: u8,
    /// 0..=7.
    pub temporal: u8,
    /// 1..=32.
    pub decode_targets: u8,
    /// 0..=32.
    pub chains: u8,
    /// Which decode targets the encoder still serves, one bit each, if the packet tells.
    pub active_decode_targets: Option<u32>,
    /// Two bits for each decode target, the first lowest.
    indications: u64,
}

/// What a frame is to a decode target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indication {
    /// Not part of it.
    NotPresent,
    /// Part of it, and no other frame of it needs this one.
    Discardable,
    /// Part of it, and with this frame one may switch to it.
    Switch,
    Required,
}

impl Frame {
    /// What the frame is to this decode target; a target that does not exist has no part of it.
    pub const fn indication(&self, decode_target: u8) -> Indication {
        if decode_target >= self.decode_targets {
            return Indication::NotPresent;
        }
        Indication::from_bits(self.indications >> (2 * decode_target))
    }
}

impl Indication {
    const fn from_bits(bits: u64) -> Self {
        match bits & 3 {
            0 => Self::NotPresent,
            1 => Self::Discardable,
            2 => Self::Switch,
            _ => Self::Required,
        }
    }
}

/// The templates of a stream, and its decode targets.
#[derive(Clone, Debug)]
pub struct Structure {
    id_offset: u8,
    template_count: u8,
    decode_targets: u8,
    chains: u8,
    templates: [Template; TEMPLATES_MAX],
    spatial_layers: u8,
    /// Width and height in pixels by spatial layer.
    resolutions: Option<[(u32, u32); SPATIAL_MAX]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Template {
    spatial: u8,
    temporal: u8,
    indications: u64,
}

impl Structure {
    /// 1..=32.
    pub const fn decode_targets(&self) -> u8 {
        self.decode_targets
    }

    /// Decode targets that have no frame which `target` does not have, one bit each: whoever gets `target` can have these, too.
    pub fn served_with(&self, target: u8) -> u32 {
        let has = |template: &Template, target: u8| template.indications >> (2 * target) & 3 != 0;
        let served = |other: u8| self.templates().iter().all(|template| !has(template, other) || has(template, target));
        (0..self.decode_targets).filter(|&other| served(other)).fold(0, |set, other| set | 1 << other)
    }

    /// 1..=4.
    pub const fn spatial_layers(&self) -> u8 {
        self.spatial_layers
    }

    /// Width and height in pixels of a spatial layer, if they are told.
    pub fn resolution(&self, spatial: u8) -> Option<(u32, u32)> {
        let resolutions = self.resolutions.as_ref()?.get(..usize::from(self.spatial_layers))?;
        resolutions.get(usize::from(spatial)).copied()
    }

    /// The highest spatial and temporal layer of a decode target.
    pub fn layers_of(&self, decode_target: u8) -> Option<(u8, u8)> {
        let within =
            self.templates().iter().filter(|it| decode_target < self.decode_targets && it.indications >> (2 * decode_target) & 3 != 0);
        within.map(|it| (it.spatial, it.temporal)).reduce(|one, other| (one.0.max(other.0), one.1.max(other.1)))
    }

    fn templates(&self) -> &[Template] {
        self.templates.get(..usize::from(self.template_count)).unwrap_or_default()
    }

    /// `template_dependency_structure()` of appendix A.8.2.
    fn read(bits: &mut Bits<'_>) -> Result<Self, ParseError> {
        let mut it = Self {
            id_offset: bits.take(6)? as u8,
            template_count: 0,
            decode_targets: bits.take(5)? as u8 + 1,
            chains: 0,
            templates: [Template::default(); TEMPLATES_MAX],
            spatial_layers: 0,
            resolutions: None,
        };
        it.read_layers(bits)?;
        let count = usize::from(it.template_count);
        for template in &mut it.templates[..count] {
            template.indications = read_indications(bits, it.decode_targets)?;
        }
        // Frame differences: nothing that forwarding asks for.
        for _ in 0..count {
            while bits.take(1)? == 1 {
                bits.take(4)?;
            }
        }
        it.skip_chains(bits)?;
        if bits.take(1)? == 1 {
            let mut resolutions = [(0, 0); SPATIAL_MAX];
            for resolution in resolutions.iter_mut().take(usize::from(it.spatial_layers)) {
                *resolution = (bits.take(16)? + 1, bits.take(16)? + 1);
            }
            it.resolutions = Some(resolutions);
        }
        Ok(it)
    }

    /// `template_layers()`: each template is in the layer of the one before, or the next temporal, or the first of the next spatial one.
    fn read_layers(&mut self, bits: &mut Bits<'_>) -> Result<(), ParseError> {
        let (mut spatial, mut temporal) = (0u8, 0u8);
        loop {
            let slot = self.templates.get_mut(usize::from(self.template_count)).ok_or(ParseError::Invalid)?;
            *slot = Template { spatial, temporal, indications: 0 };
            self.template_count += 1;
            self.spatial_layers = spatial + 1;
            match bits.take(2)? {
                0 => {}
                1 => temporal += 1,
                2 => (spatial, temporal) = (spatial + 1, 0),
                _ => return Ok(()),
            }
            if usize::from(spatial) >= SPATIAL_MAX || temporal > TEMPORAL_MAX {
                return Err(ParseError::Invalid);
            }
        }
    }

    /// `template_chains()`: only their number matters, for what follows in the descriptor.
    fn skip_chains(&mut self, bits: &mut Bits<'_>) -> Result<(), ParseError> {
        self.chains = bits.take_non_symmetric(u32::from(self.decode_targets) + 1)? as u8;
        if self.chains == 0 {
            return Ok(());
        }
        for _ in 0..self.decode_targets {
            bits.take_non_symmetric(u32::from(self.chains))?;
        }
        bits.skip(4 * usize::from(self.template_count) * usize::from(self.chains))
    }
}

/// Two bits for each decode target.
fn read_indications(bits: &mut Bits<'_>, decode_targets: u8) -> Result<u64, ParseError> {
    let mut indications = 0;
    for target in 0..decode_targets {
        indications |= u64::from(bits.take(2)?) << (2 * target);
    }
    Ok(indications)
}

/// The flags of the extended fields; a descriptor of three bytes has none.
#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    structure: bool,
    active_targets: bool,
    custom_indications: bool,
    custom_differences: bool,
    custom_chains: bool,
}

impl Flags {
    fn read(bits: &mut Bits<'_>) -> Result<Self, ParseError> {
        let flags = bits.take(5)?;
        Ok(Self {
            structure: flags & 16 != 0,
            active_targets: flags & 8 != 0,
            custom_indications: flags & 4 != 0,
            custom_differences: flags & 2 != 0,
            custom_chains: flags & 1 != 0,
        })
    }
}

impl Reader {
    pub const fn new() -> Self {
        Self { structure: None }
    }

    /// The structure that the stream has now.
    pub fn structure(&self) -> Option<&Structure> {
        self.structure.as_deref()
    }

    /// Reads the extension's value. A structure in it replaces the old one only when all of the descriptor is right.
    pub fn read(&mut self, value: &[u8]) -> Result<Descriptor, ParseError> {
        let mut bits = Bits::new(value);
        let start_of_frame = bits.take(1)? == 1;
        let end_of_frame = bits.take(1)? == 1;
        let template_id = bits.take(6)? as u8;
        let frame_number = bits.take(16)? as u16;
        let flags = if value.len() > 3 { Flags::read(&mut bits)? } else { Flags::default() };
        let mut descriptor = Descriptor { start_of_frame, end_of_frame, frame_number, has_structure: flags.structure, frame: None };
        if flags.structure {
            let structure = Structure::read(&mut bits)?;
            let all = u32::MAX >> (u32::from(DECODE_TARGETS_MAX) - u32::from(structure.decode_targets));
            descriptor.frame = Some(read_frame(&mut bits, &structure, template_id, flags, Some(all))?);
            match &mut self.structure {
                Some(kept) => **kept = structure,
                none => *none = Some(Box::new(structure)),
            }
        } else if let Some(structure) = &self.structure {
            descriptor.frame = Some(read_frame(&mut bits, structure, template_id, flags, None)?);
        }
        Ok(descriptor)
    }
}

/// `frame_dependency_definition()` of appendix A.8.2, with the active decode targets that stand before it.
fn read_frame(bits: &mut Bits<'_>, structure: &Structure, template_id: u8, flags: Flags, active: Option<u32>) -> Result<Frame, ParseError> {
    let active = if flags.active_targets { Some(bits.take(u32::from(structure.decode_targets))?) } else { active };
    let index = usize::from((template_id + 64 - structure.id_offset) % 64);
    let template = structure.templates().get(index).ok_or(ParseError::Invalid)?;
    let mut indications = template.indications;
    if flags.custom_indications {
        indications = read_indications(bits, structure.decode_targets)?;
    }
    if flags.custom_differences {
        loop {
            match bits.take(2)? {
                0 => break,
                size => bits.skip(4 * size as usize)?,
            }
        }
    }
    if flags.custom_chains {
        bits.skip(8 * usize::from(structure.chains))?;
    }
    Ok(Frame {
        spatial: template.spatial,
        temporal: template.temporal,
        decode_targets: structure.decode_targets,
        chains: structure.chains,
        active_decode_targets: active,
        indications,
    })
}

/// The structure that a descriptor brings, read without any state; `None` when it brings none or is wrong.
pub fn structure(value: &[u8]) -> Option<Structure> {
    if !brings_structure(value) {
        return None;
    }
    let mut bits = Bits::new(value);
    bits.skip(MANDATORY_BITS + FLAGS_BITS).ok()?;
    Structure::read(&mut bits).ok()
}

/// The descriptor brings a structure.
pub fn brings_structure(value: &[u8]) -> bool {
    value.get(3).is_some_and(|flags| flags & 0x80 != 0)
}

/// The descriptor says which decode targets are active: itself, or since with a structure all are.
pub fn tells_active_targets(value: &[u8]) -> bool {
    value.get(3).is_some_and(|flags| flags & 0xC0 != 0)
}

/// Which decode targets are active, one bit each, of the `count` that the stream has; `None` when the descriptor does not tell.
pub fn active_targets(value: &[u8], count: u8) -> Option<u32> {
    let mut bits = Bits::new(value);
    bits.skip(MANDATORY_BITS).ok()?;
    let flags = Flags::read(&mut bits).ok().filter(|_| value.len() > 3)?;
    let count = if flags.structure { Structure::read(&mut bits).ok()?.decode_targets } else { count };
    match (flags.active_targets, flags.structure) {
        (true, _) => bits.take(u32::from(count)).ok(),
        (false, true) => Some(all_targets(count)),
        (false, false) => None,
    }
}

/// As many bits as there are decode targets.
pub const fn all_targets(count: u8) -> u32 {
    match count {
        0 => 0,
        1..=31 => (1 << count) - 1,
        32.. => u32::MAX,
    }
}

/// Writes a descriptor into `out` that names `active` of the stream's `count` decode targets and says the rest as `value` does. Whoever leaves layers
/// out tells so (appendix A.4). Returns its length; `None` when `value` is wrong or `out` too short.
pub fn with_active_targets(value: &[u8], count: u8, active: u32, out: &mut [u8]) -> Option<usize> {
    let mut bits = Bits::new(value);
    let mut writer = BitsMut::new(out);
    writer.copy(&mut bits, MANDATORY_BITS)?;
    let flags = if value.len() > 3 { bits.take(FLAGS_BITS as u32).ok()? } else { 0 };
    writer.put(FLAGS_BITS as u32, flags | 0b01000)?;
    let mut count = count;
    if flags & 0b10000 != 0 {
        let start = bits.position();
        count = Structure::read(&mut bits).ok()?.decode_targets;
        let len = bits.position() - start;
        let mut again = Bits::new(value);
        again.skip(start).ok()?;
        writer.copy(&mut again, len)?;
    }
    if flags & 0b01000 != 0 {
        bits.take(u32::from(count)).ok()?;
    }
    writer.put(u32::from(count), active & all_targets(count))?;
    let left = bits.left();
    writer.copy(&mut bits, left)?;
    Some(writer.len())
}

/// Before the extended fields, and their flags.
const MANDATORY_BITS: usize = 24;
const FLAGS_BITS: usize = 5;

/// Body of the fuzz target `dependency_descriptor`: the first byte says where the first descriptor ends; the rest is a second one of the same
/// stream.
#[cfg(any(test, feature = "fuzz"))]
pub fn fuzz(input: &[u8]) {
    let Some((&len, rest)) = input.split_first() else { return };
    let (first, second) = rest.split_at(usize::from(len).min(rest.len()));
    let mut reader = Reader::new();
    for value in [first, second] {
        let had = reader.structure().is_some();
        match reader.read(value) {
            Ok(it) => {
                assert_eq!(it.frame.is_some(), had || it.has_structure);
                assert!(it.frame.is_none_or(|frame| frame.spatial < 4 && frame.temporal <= TEMPORAL_MAX && frame.chains <= 32));
            }
            Err(_) => assert_eq!(reader.structure().is_some(), had, "what is wrong changes nothing"),
        }
        fuzz_active_targets(&reader, value);
        if let Some(structure) = reader.structure() {
            (0..=u8::MAX).for_each(|target| assert!(target < structure.decode_targets() || structure.layers_of(target).is_none()));
        }
    }
}

/// Other active decode targets change nothing else.
#[cfg(any(test, feature = "fuzz"))]
fn fuzz_active_targets(reader: &Reader, value: &[u8]) {
    let Some(count) = reader.structure().map(Structure::decode_targets) else { return };
    let mut before = reader.clone();
    let Ok(read) = before.read(value) else { return };
    assert_eq!(structure(value).is_some(), read.has_structure);
    let told = active_targets(value, count);
    assert_eq!(told, read.frame.and_then(|frame| frame.active_decode_targets));
    assert_eq!(told.is_some(), tells_active_targets(value));
    let mut out = [0; 300];
    let Some(len) = with_active_targets(value, count, 0x5555_5555, &mut out) else { return };
    let mut after = reader.clone();
    let again = after.read(&out[..len]).expect("what was right stays right");
    let (old, new) = (read.frame.expect("there is a structure"), again.frame.expect("there is a structure"));
    assert_eq!(new.active_decode_targets, Some(0x5555_5555 & all_targets(old.decode_targets)));
    assert_eq!(Frame { active_decode_targets: old.active_decode_targets, ..new }, old);
    assert_eq!((again.frame_number, again.has_structure), (read.frame_number, read.has_structure));
}

#[cfg(test)]
mod tests;
