//! Functions compiled for the vector instructions that the processor has.

/// Defines a function whose body is compiled several times, and that runs the version for the best instructions this processor
/// has. The body is inlined into each version; a closure given to [`pulp::Arch::dispatch`] is not where it is long.
macro_rules! vectorized {
    ($(#[$attribute:meta])* $visibility:vis fn $name:ident<$life:lifetime>($($argument:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$attribute])*
        $visibility fn $name<$life>($($argument: $type),*) {
            struct Work<$life> {
                $($argument: $type),*
            }
            impl<$life> pulp::WithSimd for Work<$life> {
                type Output = ();
                #[inline(always)]
                fn with_simd<S: pulp::Simd>(self, _: S) {
                    let Work { $($argument),* } = self;
                    $body
                }
            }
            pulp::Arch::new().dispatch(Work { $($argument),* });
        }
    };
}

pub(crate) use vectorized;
