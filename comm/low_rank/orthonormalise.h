#pragma once

#include <vector>

#include "base/random.h"
#include "comm/low_rank/factor.h"

namespace sluice {

/// Makes the columns orthonormal, in order, to about fp32's precision: the first k columns go on
/// spanning what they spanned. A pure function of the factor and the key, to the bit, on every
/// instruction set.
///
/// A column that is zero, not finite, or within 1e-6 of its norm of the columns before it is replaced
/// by a random one, orthogonal to them; should none be found, by zeros. So the result never holds a
/// NaN, and B B^T is a projection.
///
/// Method: classical Gram-Schmidt, run again where a column lost half of its norm (Giraud, Langou and
/// Rozloznik 2005: twice is enough), with products in double precision. Cost: 2 to 4 columns^2 length
/// operations. Allocates nothing.
/// \param key      of the replacements
/// \param scratch  at least factor->columns() doubles
/// \pre factor->columns() <= factor->length()
void Orthonormalise(RandomKey key, Factor* factor, std::vector<double>* scratch);

}  // namespace sluice
