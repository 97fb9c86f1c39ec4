//! Functions compiled for the vector instructions that the processor has.

#[doc(hidden)]
pub use pulp;

/// Defines a function whose body is compiled several times, and that runs the version for the best instructions this processor
/// has. The body is inlined into each version; a closure given to [`pulp::Arch::dispatch`] is not where it is long.
#[macro_export]
macro_rules! vectorized {
    ($(#[$attribute:meta])* $visibility:vis fn $name:ident<$life:lifetime>($($argument:ident: $type:ty),* $(,)?) $body:block) => {
        $crate::vectorized! {
            $(#[$attribute])*
            $visibility fn $name<$life>(_simd; $($argument: $type),*) $body
        }
    };
    ($(#[$attribute:meta])* $visibility:vis fn $name:ident<$life:lifetime>($simd:ident; $($argument:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$attribute])*
        $visibility fn $name<$life>($($argument: $type),*) {
            struct Work<$life> {
                $($argument: $type),*
            }
            impl<$life> $crate::vectorized::pulp::WithSimd for Work<$life> {
                type Output = ();
                #[inline(always)]
                fn with_simd<S: $crate::vectorized::pulp::Simd>(self, $simd: S) {
                    let Work { $($argument),* } = self;
                    $body
                }
            }
            $crate::vectorized::pulp::Arch::new().dispatch(Work { $($argument),* });
        }
    };
}
