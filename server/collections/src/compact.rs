//! A collection in one of its encodings, in one word: a small one, an intset, or whatever it becomes when it is large.
//!
//! All three are allocations of their own, and the first 32 bits of each say which it is: a small one begins with its length in bytes (at
//! least 6), an intset likewise but with the highest bit set, and before a large form stands a zero. So nothing beside the
//! address has to be kept, and small collections cost their owner eight bytes.
use crate::table::prefetch_line;
use crate::thin::MARKED;
use crate::{Flat, IntSet, Strip};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};

/// The first word of a large form.
const LARGE: u32 = 0;

/// A small encoding.
///
/// # Safety
/// A transparent wrapper of the address of an allocation of its own, whose first word is not 0 and does not have the highest bit.
pub unsafe trait Small: Sized + Clone + Send {}

// SAFETY: a wrapper of a `Thin` without mark, which begins with a count of at least 7.
unsafe impl Small for Strip {}
// SAFETY: a wrapper of a `Thin` without mark, which begins with a count of at least 6.
unsafe impl Small for Flat {}

/// One of three encodings. `S` is the small one, `L` the large.
#[repr(transparent)]
pub struct Compact<S: Small, L> {
    at: NonNull<u8>,
    holds: PhantomData<(S, L)>,
}

/// A large form behind the word that tells it from the small ones.
#[repr(C)]
struct Large<L> {
    mark: u32,
    value: L,
}

/// A borrowed encoding.
#[derive(Debug)]
pub enum View<I, S, L> {
    /// Integers only.
    Ints(I),
    /// The small encoding.
    Small(S),
    /// The large form.
    Large(L),
}

/// A borrowed encoding of a collection that has no intset.
#[derive(Debug)]
pub enum Split<S, L> {
    /// The small encoding.
    Small(S),
    /// The large form.
    Large(L),
}

// SAFETY: it owns one value, of types that may be sent.
unsafe impl<S: Small, L: Send> Send for Compact<S, L> {}

impl<S: Small, L> Compact<S, L> {
    /// An intset.
    pub fn ints(ints: IntSet) -> Self {
        Self::own(ManuallyDrop::new(ints))
    }

    /// The small encoding.
    pub fn small(pack: S) -> Self {
        Self::own(ManuallyDrop::new(pack))
    }

    /// The large form.
    pub fn large(value: L) -> Self {
        let at = NonNull::from(Box::leak(Box::new(Large { mark: LARGE, value })));
        Compact { at: at.cast(), holds: PhantomData }
    }

    /// Takes the address out of an intset or a small encoding.
    fn own<T>(small: ManuallyDrop<T>) -> Self {
        const { assert!(size_of::<T>() == size_of::<NonNull<u8>>()) };
        // SAFETY: both types are transparent wrappers of the non-null address of what they own, which nobody will free through `small`.
        let at = unsafe { ptr::from_ref(&small).cast::<NonNull<u8>>().read() };
        Compact { at, holds: PhantomData }
    }

    /// Asks the processor for what it begins with, without waiting.
    #[inline]
    pub fn prefetch(&self) {
        prefetch_line(self.at.as_ptr());
    }

    #[inline]
    fn mark(&self) -> u32 {
        // SAFETY: each of the three forms begins with an aligned word.
        u32::from_le(unsafe { self.at.cast::<u32>().read() })
    }

    /// The encoding, to read.
    #[inline]
    pub fn view(&self) -> View<&IntSet, &S, &L> {
        let here = ptr::from_ref(self);
        match self.mark() {
            // SAFETY: the mark says that a `Large` lies there; it is borrowed as long as `self`.
            LARGE => View::Large(unsafe { &self.at.cast::<Large<L>>().as_ref().value }),
            // SAFETY: an intset is a transparent wrapper of the address that lies here, and the mark says that it is one's.
            MARKED.. => View::Ints(unsafe { &*here.cast::<IntSet>() }),
            // SAFETY: likewise a small encoding, as `Small` promises.
            _ => View::Small(unsafe { &*here.cast::<S>() }),
        }
    }

    /// The encoding, to change. A small one stays what it is whatever is done to it.
    #[inline]
    pub fn view_mut(&mut self) -> View<&mut IntSet, &mut S, &mut L> {
        let here = ptr::from_mut(self);
        match self.mark() {
            // SAFETY: as in `view`; `&mut self` excludes other references.
            LARGE => View::Large(unsafe { &mut self.at.cast::<Large<L>>().as_mut().value }),
            // SAFETY: as above.
            MARKED.. => View::Ints(unsafe { &mut *here.cast::<IntSet>() }),
            // SAFETY: as above.
            _ => View::Small(unsafe { &mut *here.cast::<S>() }),
        }
    }

    /// The encoding of a collection that is never an intset.
    #[inline]
    pub fn split(&self) -> Split<&S, &L> {
        match self.view() {
            View::Small(pack) => Split::Small(pack),
            View::Large(large) => Split::Large(large),
            View::Ints(_) => unreachable!("only sets keep integers"),
        }
    }

    /// The encoding of a collection that is never an intset, to change.
    #[inline]
    pub fn split_mut(&mut self) -> Split<&mut S, &mut L> {
        match self.view_mut() {
            View::Small(pack) => Split::Small(pack),
            View::Large(large) => Split::Large(large),
            View::Ints(_) => unreachable!("only sets keep integers"),
        }
    }
}

impl<S: Small, L> Drop for Compact<S, L> {
    fn drop(&mut self) {
        match self.view_mut() {
            // SAFETY: the value is dropped once, and `self` is not used again.
            View::Ints(ints) => unsafe { ptr::drop_in_place(ints) },
            // SAFETY: as above.
            View::Small(pack) => unsafe { ptr::drop_in_place(pack) },
            // SAFETY: made by `Box::leak` in `large`.
            View::Large(_) => drop(unsafe { Box::from_raw(self.at.cast::<Large<L>>().as_ptr()) }),
        }
    }
}

impl<S: Small, L: Clone> Clone for Compact<S, L> {
    fn clone(&self) -> Self {
        match self.view() {
            View::Ints(ints) => Self::ints(ints.clone()),
            View::Small(pack) => Self::small(pack.clone()),
            View::Large(large) => Self::large(large.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    type Held = Compact<Strip, (Rc<()>, u64)>;

    fn check(held: &Held, expected: &str) {
        let shown = match held.view() {
            View::Ints(ints) => format!("ints {:?}", ints.iter().collect::<Vec<_>>()),
            View::Small(pack) => format!("pack {:?}", pack.iter().map(|element| element.to_vec()).collect::<Vec<_>>()),
            View::Large((_, number)) => format!("large {number}"),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn each_form_is_told_from_the_others_and_stays_itself() {
        let owner = Rc::new(());
        let mut held = Held::ints(IntSet::new());
        check(&held, "ints []");
        for number in [3, -70_000, 1 << 40] {
            let View::Ints(ints) = held.view_mut() else { panic!("an intset") };
            ints.insert(number);
        }
        check(&held, "ints [-70000, 3, 1099511627776]");
        check(&held.clone(), "ints [-70000, 3, 1099511627776]");
        held = Held::small(Strip::new());
        check(&held, "pack []");
        let Split::Small(pack) = held.split_mut() else { panic!("a listpack") };
        (0..300).for_each(|_| pack.push_back(b"xyz"));
        *pack = Strip::new();
        pack.push_back(b"a");
        check(&held, "pack [[97]]");
        check(&held.clone(), "pack [[97]]");
        held = Held::large((Rc::clone(&owner), 7));
        let Split::Large((_, number)) = held.split_mut() else { panic!("a large form") };
        *number += 1;
        check(&held, "large 8");
        let copy = held.clone();
        assert_eq!(Rc::strong_count(&owner), 3);
        drop((held, copy));
        assert_eq!(Rc::strong_count(&owner), 1);
    }

    #[test]
    fn is_one_word() {
        assert_eq!(size_of::<Held>(), 8);
    }
}
