/* SPDX-License-Identifier: Apache-2.0
 *
 * What a network does around the accelerator, on the processor: floating point to integers and back, softmax. Exactly
 * as the network's format defines it (IEEE 754 binary32, round to nearest; no -ffast-math). Not needed where the
 * caller has integers already; the driver itself does not use it.
 */
#ifndef INTAGLIO_HOST_H
#define INTAGLIO_HOST_H

#include "intaglio.h"

#ifdef __cplusplus
extern "C" {
#endif

/* round(x / scale) + zero_point, saturated, for `count` numbers; a half is rounded away from zero (TFLite) or to even
 * (ONNX). elements: int8, or uint8 where lowest is 0. Infinity saturates; NaN has no meaning. */
void intaglio_quantize_away(const intaglio_quantization *to, const float *reals, uint32_t count, void *elements);
void intaglio_quantize_even(const intaglio_quantization *to, const float *reals, uint32_t count, void *elements);

/* scale * (element - zero_point), rounded once. */
void intaglio_dequantize(const intaglio_quantization *of, const void *elements, uint32_t count, float *reals);

/* TFLite's softmax of `rows` rows of `length` elements (1 to 4095), in fixed point: results have scale 1/256 and
 * zero point -128, or of uint8 0. multiplier, left_shift: beta times the input's scale, see intaglio_network.h. In place
 * is allowed. */
void intaglio_softmax(const int8_t *from, uint32_t rows, uint32_t length, int32_t multiplier, int32_t left_shift,
                      int8_t *to);
void intaglio_softmax_unsigned(const uint8_t *from, uint32_t rows, uint32_t length, int32_t multiplier,
                               int32_t left_shift, uint8_t *to);

#ifdef __cplusplus
}
#endif

#endif
