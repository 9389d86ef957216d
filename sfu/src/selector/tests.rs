use super::*;
use crate::{Carried, Codec, Span};

fn facts(entry: bool, frame: Frame) -> Facts {
    Facts {
        codec: Codec::Vp8,
        sequence: 0,
        timestamp: 0,
        marker: false,
        entry,
        payload: Span { at: 12, len: 1 },
        carried: Carried::NONE,
        allocation: Span::NONE,
        picture_id: None,
        tl0_index: None,
        frame,
    }
}

fn plain(entry: bool) -> Facts {
    let switching = if entry { LayerSet::ALL } else { LayerSet::NONE };
    facts(entry, Frame { switching, ..Frame::WHOLE })
}

/// As the payload descriptor of VP8 has it.
fn temporal(id: u8, sync: bool) -> Facts {
    let own = LayerId::new(0, id);
    let present = LayerSet::upward(own).flat();
    let switching = if sync { LayerSet::only(own) } else { LayerSet::NONE };
    facts(false, Frame { temporal: id, present, required: present, switching, anew: sync, ..Frame::WHOLE })
}

fn streams(bits: u8) -> Offer {
    let set = |at: u8| if bits >> at & 1 == 1 { LayerSet::only(LayerId::new(at, 0)) } else { LayerSet::NONE };
    Offer { active: (0..4).map(set).fold(LayerSet::NONE, LayerSet::and), layered: false }
}

fn temporals(count: u8) -> Offer {
    Offer { active: LayerSet::downward(LayerId::new(0, count - 1)), layered: false }
}

#[test]
fn switches_only_at_a_keyframe_of_the_target() {
    let mut selector = Selector::new();
    selector.retarget(streams(0b001));
    assert_eq!(selector.choose(0, &plain(false), true), Choice::Leave);
    assert_eq!(selector.awaited(), Some(0));
    assert_eq!(selector.choose(0, &plain(true), true), Choice::Switch);
    assert_eq!(selector.choose(0, &plain(false), true), Choice::Forward);
    selector.retarget(streams(0b111));
    assert_eq!(selector.awaited(), Some(2));
    assert_eq!(selector.choose(1, &plain(true), true), Choice::Leave, "not the target");
    assert_eq!(selector.choose(2, &plain(false), true), Choice::Leave);
    assert_eq!(selector.choose(0, &plain(false), true), Choice::Forward, "the old layer stays on the wire meanwhile");
    assert_eq!(selector.choose(2, &plain(true), true), Choice::Switch);
    assert_eq!(selector.awaited(), None);
    assert_eq!(selector.choose(0, &plain(false), true), Choice::Leave);
}

#[test]
fn falls_back_when_layers_fall_silent() {
    let mut selector = Selector::new();
    selector.retarget(streams(0b100));
    selector.choose(2, &plain(true), true);
    selector.retarget(streams(0b011));
    assert_eq!(selector.awaited(), Some(1));
    selector.retarget(streams(0));
    assert_eq!(selector.target(), Some(LayerId::new(1, 0)), "silence of all changes nothing");
}

#[test]
fn what_is_wanted_bounds_the_target() {
    let mut selector = Selector::new();
    selector.want(Some(LayerId::new(1, 3)));
    selector.retarget(streams(0b111));
    assert_eq!(selector.target(), Some(LayerId::new(1, 0)));
    assert_eq!(selector.choose(2, &plain(true), true), Choice::Leave);
    selector.want(None);
    selector.retarget(streams(0b111));
    assert_eq!((selector.target(), selector.current(), selector.awaited()), (None, None, None));
    assert_eq!(selector.choose(0, &plain(true), true), Choice::Leave, "paused");
    selector.want(Some(LayerId::HIGHEST));
    selector.retarget(streams(0b001));
    assert_eq!(selector.choose(0, &plain(true), true), Choice::Switch);
}

#[test]
fn frame_rate_falls_at_once_and_rises_at_a_layer_sync() {
    let mut selector = Selector::new();
    selector.retarget(temporals(3));
    selector.choose(0, &plain(true), true);
    let choose = |selector: &mut Selector, id, sync| selector.choose(0, &temporal(id, sync), true) == Choice::Forward;
    assert!(choose(&mut selector, 2, false) && choose(&mut selector, 1, false));
    selector.want(Some(LayerId::new(0, 0)));
    selector.retarget(temporals(3));
    assert!(!choose(&mut selector, 2, false) && !choose(&mut selector, 1, false) && choose(&mut selector, 0, false));
    assert_eq!(selector.current(), Some(LayerId::new(0, 0)));
    selector.want(Some(LayerId::HIGHEST));
    selector.retarget(temporals(3));
    assert_eq!(selector.awaited(), None, "no keyframe is needed for that");
    assert!(!choose(&mut selector, 2, true), "it may need the layer between");
    assert!(!choose(&mut selector, 1, false));
    assert!(choose(&mut selector, 1, true));
    assert!(!choose(&mut selector, 2, false));
    assert!(choose(&mut selector, 0, false) && choose(&mut selector, 2, true) && choose(&mut selector, 2, false));
    assert_eq!(selector.current(), Some(LayerId::new(0, 2)));
}

#[test]
fn discardable_frames_may_be_left_out_without_loss() {
    let mut selector = Selector::new();
    selector.retarget(temporals(2));
    selector.choose(0, &plain(true), true);
    let mut top = temporal(1, false);
    top.frame.required = LayerSet::NONE;
    selector.want(Some(LayerId::new(0, 0)));
    selector.retarget(temporals(2));
    assert_eq!(selector.choose(0, &top, true), Choice::Skip);
    selector.want(Some(LayerId::HIGHEST));
    selector.retarget(temporals(2));
    assert_eq!(selector.choose(0, &top, true), Choice::Forward, "nothing that it needs was left out");
}

/// Three spatial layers; `only` when each serves its own alone (k-SVC between keyframes).
fn spatial(id: u8, only: bool, entry: bool) -> Facts {
    let own = LayerId::new(id, 0);
    let present = if only { LayerSet::row(id) } else { LayerSet::upward(own) };
    let switching = if entry { LayerSet::ALL } else { LayerSet::NONE };
    facts(entry, Frame { spatial: id, present, required: present, switching, ..Frame::WHOLE })
}

fn svc(selector: &mut Selector, wanted: u8) {
    selector.want(Some(LayerId::new(wanted, 3)));
    let active = [0, 1, 2].map(|at| LayerSet::only(LayerId::new(at, 0))).into_iter().fold(LayerSet::NONE, LayerSet::and);
    selector.retarget(Offer { active, layered: true });
}

/// Which of a picture's three frames go out.
fn picture(selector: &mut Selector, only: bool, key: bool) -> [bool; 3] {
    [0, 1, 2].map(|id| {
        let choice = selector.choose(0, &spatial(id, only && !key, key && id == 0), true);
        matches!(choice, Choice::Forward | Choice::Switch)
    })
}

#[test]
fn svc_goes_down_at_once_and_up_at_a_keyframe() {
    let mut selector = Selector::new();
    svc(&mut selector, 1);
    assert_eq!(picture(&mut selector, false, true), [true, true, false]);
    assert_eq!(picture(&mut selector, false, false), [true, true, false]);
    svc(&mut selector, 2);
    assert_eq!(picture(&mut selector, false, false), [true, true, false]);
    assert_eq!(selector.awaited(), Some(0), "a keyframe of the stream");
    assert_eq!(picture(&mut selector, false, true), [true, true, true]);
    assert_eq!((selector.awaited(), selector.current()), (None, Some(LayerId::new(2, 0))));
    svc(&mut selector, 0);
    assert_eq!(picture(&mut selector, false, false), [true, false, false]);
    assert_eq!(selector.awaited(), None);
}

#[test]
fn key_svc_sends_one_layer_and_changes_it_at_a_keyframe() {
    let mut selector = Selector::new();
    svc(&mut selector, 2);
    assert_eq!(picture(&mut selector, true, true), [true, true, true]);
    assert_eq!(picture(&mut selector, true, false), [false, false, true]);
    svc(&mut selector, 0);
    assert_eq!(picture(&mut selector, true, false), [false, false, true], "the lower layer's frames were left out before");
    assert_eq!(selector.awaited(), Some(0));
    assert_eq!(picture(&mut selector, true, true), [true, false, false]);
    assert_eq!(picture(&mut selector, true, false), [true, false, false]);
}

#[test]
fn a_late_packet_changes_nothing() {
    let mut selector = Selector::new();
    selector.want(Some(LayerId::new(0, 0)));
    selector.retarget(temporals(2));
    selector.choose(0, &plain(true), true);
    assert_eq!(selector.choose(0, &temporal(1, false), true), Choice::Skip);
    selector.want(Some(LayerId::HIGHEST));
    selector.retarget(temporals(2));
    assert_eq!(selector.choose(0, &temporal(1, true), false), Choice::Skip, "frames after it were left out");
    assert_eq!(selector.choose(0, &temporal(1, true), true), Choice::Forward);
}

/// The frame of a layer that begins anew from the one below it, as an encoder sends when it takes a layer up again.
fn anew(id: u8) -> Facts {
    let mut facts = spatial(id, true, false);
    facts.frame = Frame { switching: LayerSet::row(id), anew: true, needs_lower: true, ..facts.frame };
    facts
}

#[test]
fn a_layer_that_begins_anew_is_taken_only_with_the_one_below_it() {
    let forwards = |selector: &mut Selector, facts: &Facts| selector.choose(0, facts, true) == Choice::Forward;
    let mut selector = Selector::new();
    svc(&mut selector, 0);
    assert_eq!(picture(&mut selector, true, true), [true, false, false]);
    svc(&mut selector, 2);
    assert!(forwards(&mut selector, &spatial(0, true, false)));
    assert!(!forwards(&mut selector, &anew(2)), "the layer between is missing");
    assert!(forwards(&mut selector, &spatial(0, true, false)));
    assert!(forwards(&mut selector, &anew(1)) && forwards(&mut selector, &anew(2)));
    assert_eq!(selector.current(), Some(LayerId::new(2, 0)));
}
