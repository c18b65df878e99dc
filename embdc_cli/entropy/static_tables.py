"""The frequencies of the static tables: integers, made once offline, never computed at run time.

Row L is the law of the magnitude |q| of a band whose mean magnitude is 2^((L - 20) / 2), in 1/4096. The law: c is a
Laplacian whose scale is spread log-normally (real bands are mixtures of scales), with a standard deviation of
clip((22.5 - L) / 9, 0.1, 1) octaves; |q| = floor(|c| + 0.36), and the median scale is what gives that mean. Spread and
dead zone were chosen for the fewest bits in total over KLT and DCT coefficients of ViT and CNN embeddings, without and
with clustered bases and rate-distortion optimised quantisation. There, histograms of the same classes made from the
data itself would save 0.4 to 0.8 % of the bits.
Rows 26..31 are the law of |q| >> 1, 1, 2, 2, 3, 3. Symbol 15 is the escape. In sparse rows rare magnitudes have
frequency 0 and are escaped, since 1/4096 for each would cost more. Row 0 is never used (class 0 sends nothing).
"""

from __future__ import annotations

FREQUENCIES = (
    (4090, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
    (4090, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
    (4088, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
    (4084, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
    (4080, 15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
    (4074, 21, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
    (4065, 29, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
    (4052, 41, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
    (4035, 57, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
    (4010, 80, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
    (3977, 110, 7, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
    (3931, 151, 11, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
    (3868, 205, 18, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
    (3783, 275, 29, 6, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
    (3663, 374, 44, 10, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
    (3492, 514, 68, 15, 4, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1),
    (3257, 693, 105, 23, 6, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1),
    (2959, 904, 166, 41, 12, 4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1),
    (2595, 1119, 265, 74, 23, 8, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1),
    (2184, 1284, 404, 137, 50, 19, 7, 3, 1, 1, 1, 1, 1, 1, 1, 1),
    (1766, 1343, 557, 237, 103, 46, 21, 10, 5, 2, 1, 1, 1, 1, 1, 1),
    (1381, 1280, 672, 355, 188, 100, 54, 29, 16, 9, 5, 3, 1, 1, 1, 1),
    (1056, 1130, 709, 445, 279, 176, 111, 70, 44, 28, 18, 11, 7, 4, 3, 5),
    (795, 943, 673, 480, 343, 245, 175, 125, 90, 64, 46, 33, 24, 17, 12, 31),
    (588, 754, 591, 464, 364, 286, 224, 176, 138, 109, 85, 67, 53, 42, 33, 122),
    (430, 582, 489, 411, 346, 291, 245, 206, 173, 146, 123, 103, 87, 73, 62, 329),
    (750, 731, 570, 446, 348, 272, 213, 166, 130, 102, 80, 62, 49, 38, 30, 109),
    (548, 570, 478, 401, 336, 282, 237, 199, 167, 140, 118, 99, 83, 70, 59, 309),
    (830, 719, 560, 436, 340, 265, 207, 162, 126, 98, 77, 60, 47, 37, 29, 103),
    (608, 564, 472, 396, 332, 278, 233, 195, 164, 137, 115, 97, 81, 68, 57, 299),
    (870, 713, 555, 432, 336, 262, 204, 159, 124, 97, 75, 59, 46, 36, 28, 100),
    (637, 561, 469, 393, 329, 276, 231, 194, 162, 136, 114, 96, 80, 67, 56, 295),
)
