//! That places stay apart, and that memory follows what is in use.

use super::*;

#[test]
fn places_are_apart_and_used_again() {
    let mut pages = Pages::default();
    for bytes in [1, 88, 96, 97, 300, 512, 513, Pages::BYTES_MAX] {
        let places: Vec<Place> = (0..200).map(|_| pages.make(bytes)).collect();
        for (number, place) in (0..).zip(&places) {
            assert!(pages.at(*place).len() >= bytes && Pages::fits(*place, bytes));
            pages.at_mut(*place).fill(number);
        }
        for (number, place) in (0..).zip(&places) {
            assert!(pages.at(*place).iter().all(|byte| *byte == number), "{bytes}");
        }
        for place in &places[40..60] {
            pages.free(*place);
        }
        let again: Vec<Place> = (0..20).map(|_| pages.make(bytes)).collect();
        let mut expected = places[40..60].to_vec();
        expected.reverse();
        assert_eq!(again, expected);
        for place in &places {
            pages.free(*place);
        }
        assert!(
            pages.list.is_empty() && pages.sizes.is_empty(),
            "all memory went back"
        );
    }
}

#[test]
fn sizes_share_the_pages_that_were_given_back() {
    let mut pages = Pages::default();
    let kept = pages.make(300);
    let short: Vec<Place> = (0..200).map(|_| pages.make(100)).collect();
    let in_use = pages.list.len();
    for place in &short {
        pages.free(*place);
    }
    let long: Vec<Place> = (0..16).map(|_| pages.make(900)).collect();
    assert_eq!(pages.list.len(), in_use);
    pages.at_mut(kept).fill(1);
    for place in &long {
        pages.at_mut(*place).fill(2);
    }
    assert!(pages.at(kept).iter().all(|byte| *byte == 1));
}

/// Sessions that grow leave one behind in each size, which keeps no more than the page that it is in.
#[test]
fn a_page_in_which_nothing_stands_goes_back() {
    let mut pages = Pages::default();
    let mut kept = Vec::new();
    for bytes in (96..=Pages::BYTES_MAX).step_by(STEP) {
        let places: Vec<Place> = (0..2_000).map(|_| pages.make(bytes)).collect();
        kept.push(places[1_000]);
        for place in places.iter().filter(|place| **place != places[1_000]) {
            pages.free(*place);
        }
    }
    let in_use = pages.list.iter().filter(|page| !page.is_empty()).count();
    assert!(in_use <= 2 * kept.len(), "{in_use} pages for {}", kept.len());
    for (number, place) in (0..).zip(&kept) {
        pages.at_mut(*place).fill(number);
    }
    for (number, place) in (0..).zip(&kept) {
        assert!(pages.at(*place).iter().all(|byte| *byte == number));
    }
    for place in &kept {
        pages.free(*place);
    }
    assert!(pages.list.is_empty() && pages.sizes.is_empty());
}

#[test]
fn what_comes_and_goes_at_the_border_of_a_page_makes_none_anew() {
    let mut pages = Pages::default();
    for _ in 0..64 {
        pages.make(96);
    }
    for _ in 0..3 {
        let place = pages.make(96);
        pages.free(place);
        assert_eq!((pages.list.len(), pages.free.len()), (2, 0));
    }
}

#[test]
fn few_sessions_of_many_lengths_take_little() {
    let mut pages = Pages::default();
    let mut bytes = 0;
    for size in (96..=Pages::BYTES_MAX).step_by(STEP) {
        for _ in 0..3 {
            pages.make(size);
            bytes += size;
        }
    }
    let taken: usize = pages.list.iter().map(|page| page.len()).sum();
    assert!(taken < bytes * 3 / 2, "{taken} bytes for {bytes}");
}

/// Random calls, and what stands in each place stays.
#[test]
fn places_stay_apart_whatever_comes_and_goes() {
    let (mut pages, mut made) = (Pages::default(), Vec::<(Place, u8)>::new());
    let mut state = 7_u64;
    for step in 0..60_000_u32 {
        state = state
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        let draw = usize::try_from(state >> 33).unwrap();
        // It fills, and empties again.
        let fills = step % 20_000 < 10_000;
        if made.is_empty() || draw % 8 < if fills { 5 } else { 2 } {
            let place = pages.make([90, 100, 200, 600][draw / 8 % 4]);
            let byte = u8::try_from(draw / 64 % 256).unwrap();
            pages.at_mut(place).fill(byte);
            made.push((place, byte));
        } else {
            let (place, byte) = made.swap_remove(draw / 8 % made.len());
            assert!(pages.at(place).iter().all(|found| *found == byte));
            pages.free(place);
        }
    }
    for (place, byte) in made {
        assert!(pages.at(place).iter().all(|found| *found == byte));
        pages.free(place);
    }
    assert!(pages.list.is_empty(), "all memory went back");
}
