use super::*;

fn near(got: f64, wanted: f64) -> bool {
    (got - wanted).abs() < 0.02
}

/// By hand: R is 93.2 without fault (4.41), 89.6 after 150 ms (4.33); 10 % loss with Bpl 25.1 takes 27.1 points (4.41 becomes 3.41).
#[test]
fn sound_is_judged_as_the_emodel_has_it() {
    assert!(near(emodel(0.0, 0.0), 4.41), "{}", emodel(0.0, 0.0));
    assert!(near(emodel(150.0, 0.0), 4.33), "{}", emodel(150.0, 0.0));
    assert!(near(emodel(0.0, 10.0), 3.41), "{}", emodel(0.0, 10.0));
    assert!(emodel(500.0, 0.0) < emodel(300.0, 0.0) && emodel(300.0, 0.0) < emodel(150.0, 0.0));
    assert!(near(emodel(2_000.0, 50.0), 1.0));
    for delay in (0..2_000).step_by(50) {
        for lost in 0..=100 {
            let score = emodel(f64::from(delay), f64::from(lost));
            assert!((1.0..=4.5).contains(&score) && emodel(f64::from(delay), f64::from(lost) + 1.0) <= score + 1e-9);
        }
    }
}

#[test]
fn pictures_lose_by_what_is_wrong_with_them() {
    assert_eq!(video_score(0.0, 1.0, 720, 0), 5.0);
    assert_eq!(video_score(0.0, 2.0, 1_080, 720), 5.0, "more than is shown is no better");
    assert!(near(video_score(0.05, 1.0, 720, 720), 3.65), "a second in twenty stands still");
    assert!(near(video_score(0.0, 0.5, 720, 720), 3.83), "half the frames");
    assert!(near(video_score(0.0, 1.0, 180, 720), 3.0), "a quarter of the lines");
    assert_eq!(video_score(1.0, 0.0, 0, 720), 1.0);
    assert_eq!((Level::of(4.2), Level::of(3.2), Level::of(2.9)), (Level::Good, Level::Fair, Level::Poor));
}
