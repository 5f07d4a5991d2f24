//! A collection in one of its encodings, in one word: a listpack, an intset, or whatever it becomes when it is large.
//!
//! All three are allocations of their own, and the first 32 bits of each say which it is: a listpack begins with its length in bytes (at
//! least 7), an intset likewise but with the highest bit set, and before a large form stands a zero. So nothing beside the
//! address has to be kept, and small collections cost their owner eight bytes.
use crate::thin::MARKED;
use crate::{IntSet, Listpack};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};

/// The first word of a large form.
const LARGE: u32 = 0;

/// One of three encodings. `L` is the large one.
#[repr(transparent)]
pub struct Compact<L> {
    at: NonNull<u8>,
    holds: PhantomData<L>,
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
    /// A listpack.
    Small(S),
    /// The large form.
    Large(L),
}

/// A borrowed encoding of a collection that has no intset.
#[derive(Debug)]
pub enum Split<S, L> {
    /// A listpack.
    Small(S),
    /// The large form.
    Large(L),
}

// SAFETY: it owns one value of a type that may be sent.
unsafe impl<L: Send> Send for Compact<L> {}

impl<L> Compact<L> {
    /// An intset.
    pub fn ints(ints: IntSet) -> Self {
        Self::own(ManuallyDrop::new(ints))
    }

    /// A listpack.
    pub fn small(pack: Listpack) -> Self {
        Self::own(ManuallyDrop::new(pack))
    }

    /// The large form.
    pub fn large(value: L) -> Self {
        let at = NonNull::from(Box::leak(Box::new(Large { mark: LARGE, value })));
        Compact { at: at.cast(), holds: PhantomData }
    }

    /// Takes the address out of an intset or a listpack.
    fn own<T>(small: ManuallyDrop<T>) -> Self {
        const { assert!(size_of::<T>() == size_of::<NonNull<u8>>()) };
        // SAFETY: both types are transparent wrappers of the non-null address of what they own, which nobody will free through `small`.
        let at = unsafe { ptr::from_ref(&small).cast::<NonNull<u8>>().read() };
        Compact { at, holds: PhantomData }
    }

    #[inline]
    fn mark(&self) -> u32 {
        // SAFETY: each of the three forms begins with an aligned word.
        u32::from_le(unsafe { self.at.cast::<u32>().read() })
    }

    /// The encoding, to read.
    #[inline]
    pub fn view(&self) -> View<&IntSet, &Listpack, &L> {
        let here = ptr::from_ref(self);
        match self.mark() {
            // SAFETY: the mark says that a `Large` lies there; it is borrowed as long as `self`.
            LARGE => View::Large(unsafe { &self.at.cast::<Large<L>>().as_ref().value }),
            // SAFETY: an intset is a transparent wrapper of the address that lies here, and the mark says that it is one's.
            MARKED.. => View::Ints(unsafe { &*here.cast::<IntSet>() }),
            // SAFETY: likewise a listpack.
            _ => View::Small(unsafe { &*here.cast::<Listpack>() }),
        }
    }

    /// The encoding, to change. A small one stays what it is whatever is done to it.
    #[inline]
    pub fn view_mut(&mut self) -> View<&mut IntSet, &mut Listpack, &mut L> {
        let here = ptr::from_mut(self);
        match self.mark() {
            // SAFETY: as in `view`; `&mut self` excludes other references.
            LARGE => View::Large(unsafe { &mut self.at.cast::<Large<L>>().as_mut().value }),
            // SAFETY: as above.
            MARKED.. => View::Ints(unsafe { &mut *here.cast::<IntSet>() }),
            // SAFETY: as above.
            _ => View::Small(unsafe { &mut *here.cast::<Listpack>() }),
        }
    }

    /// The encoding of a collection that is never an intset.
    #[inline]
    pub fn split(&self) -> Split<&Listpack, &L> {
        match self.view() {
            View::Small(pack) => Split::Small(pack),
            View::Large(large) => Split::Large(large),
            View::Ints(_) => unreachable!("only sets keep integers"),
        }
    }

    /// The encoding of a collection that is never an intset, to change.
    #[inline]
    pub fn split_mut(&mut self) -> Split<&mut Listpack, &mut L> {
        match self.view_mut() {
            View::Small(pack) => Split::Small(pack),
            View::Large(large) => Split::Large(large),
            View::Ints(_) => unreachable!("only sets keep integers"),
        }
    }
}

impl<L> Drop for Compact<L> {
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

impl<L: Clone> Clone for Compact<L> {
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

    type Held = Compact<(Rc<()>, u64)>;

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
        held = Held::small(Listpack::new());
        check(&held, "pack []");
        let Split::Small(pack) = held.split_mut() else { panic!("a listpack") };
        (0..300).for_each(|_| pack.push_back(b"xyz"));
        *pack = Listpack::new();
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
