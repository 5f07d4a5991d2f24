use super::*;
use proptest::prelude::*;

/// Every block is what it should be: aligned, apart from all others, and filled with its own byte.
#[track_caller]
fn check(blocks: &[(NonNull<u8>, usize, u8)]) {
    let mut spans: Vec<(usize, usize)> = Vec::new();
    for &(at, size, byte) in blocks {
        assert!(at.addr().get().is_multiple_of(ALIGN), "a block of {size}");
        // SAFETY: the block is in use and was filled by the test.
        let bytes = unsafe { std::slice::from_raw_parts(at.as_ptr(), size) };
        assert!(bytes.iter().all(|&other| other == byte), "a block of {size}");
        spans.push((at.addr().get(), at.addr().get() + room(size)));
    }
    spans.sort_unstable();
    assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0), "blocks overlap");
}

fn fill(at: NonNull<u8>, size: usize, byte: u8) {
    // SAFETY: a block has at least its size.
    unsafe { at.as_ptr().write_bytes(byte, size) };
}

#[test]
fn rooms_are_fine_and_then_the_allocators() {
    for (size, expected) in [
        (1, 8),
        (8, 8),
        (9, 16),
        (65, 72),
        (512, 512),
        (513, 528),
        (1009, 1024),
        (1024, 1024),
        (1025, 1280),
        (8193, 10240),
        (65_536, 65_536),
        (65_537, 69_632),
    ] {
        assert_eq!(room(size), expected, "{size}");
    }
    for size in 1..=BLOCK_MAX {
        let room = room(size);
        assert!(room >= size && room - size < COARSE && room.is_multiple_of(ALIGN), "{size}");
        assert_eq!(size_of_class(class_of(size)), room, "{size}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "maps pages")]
fn what_is_given_back_goes_back_to_the_allocator() {
    // A heap of its own, so that no other test's blocks are counted.
    static OWN: Heap = Heap::new();
    let heap = &OWN;
    let class = class_of(1000);
    let in_use = |heap: &Heap| {
        let chunks = heap.chunks();
        (chunks.chunks.len(), chunks.chunks.values().map(|chunk| chunk.free.count_zeros()).sum::<u32>())
    };
    std::thread::scope(|scope| {
        let (sender, receiver) = std::sync::mpsc::channel::<usize>();
        scope.spawn(move || {
            let rack = Rack::new(heap);
            for _ in 0..3 * CHUNK / 1000 {
                let block = rack.take(class);
                sender.send(block.as_ptr().expose_provenance()).expect("heard");
            }
        });
        // Freed by another thread, in another order than allocated.
        scope.spawn(move || {
            let rack = Rack::new(heap);
            let mut blocks: Vec<usize> = receiver.iter().collect();
            assert!(in_use(heap).0 >= 3);
            fastrand::Rng::with_seed(5).shuffle(&mut blocks);
            for address in blocks {
                let block = NonNull::new(ptr::with_exposed_provenance_mut::<Free>(address)).expect("a block");
                // SAFETY: taken above as a block of this class, and given back once.
                unsafe { rack.give(class, block) };
            }
        });
    });
    // One slab is kept by the depot, in one chunk; and one chunk as a spare.
    let (chunks, slabs) = in_use(heap);
    assert!(chunks <= 2 && slabs == 1, "{chunks} chunks, {slabs} slabs");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn blocks_keep_apart(steps in prop::collection::vec((0..4u8, 1..1500usize, any::<prop::sample::Index>()), 1..300)) {
        let mut blocks: Vec<(NonNull<u8>, usize, u8)> = Vec::new();
        for (number, (step, size, which)) in steps.into_iter().enumerate() {
            let byte = number as u8;
            match step {
                0 if !blocks.is_empty() => {
                    let (at, size, _) = blocks.swap_remove(which.index(blocks.len()));
                    // SAFETY: in use with this size, and forgotten here.
                    unsafe { give(at, size) };
                }
                1 if !blocks.is_empty() => {
                    let count = blocks.len();
                    let block = &mut blocks[which.index(count)];
                    // SAFETY: in use with this size; the old address is overwritten.
                    let moved = unsafe { resize(block.0, block.1, size) };
                    check(&[(moved, size.min(block.1), block.2)]);
                    fill(moved, size, byte);
                    *block = (moved, size, byte);
                }
                _ => {
                    let at = take(size);
                    fill(at, size, byte);
                    blocks.push((at, size, byte));
                }
            }
        }
        check(&blocks);
        for (at, size, _) in blocks {
            // SAFETY: in use with this size, and forgotten here.
            unsafe { give(at, size) };
        }
    }
}
