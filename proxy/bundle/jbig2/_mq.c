/* JBIG2 generic regions, ITU-T T.88 (08/2018) clause 6.2, adaptive pixels at their nominal places.
 *
 * In: a bitmap of one byte a pixel (0 is white), or coded bytes. Out: coded bytes, or a bitmap of 0 and 1.
 * Refuses: sides over MAX_SIDE, templates other than 0 to 3, bitmaps of another size (ValueError). No payload is refused.
 *
 * python.py beside it does the same work and makes the same bytes: change both or neither.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "mq.h"

#define MAX_SIDE 65535
#define MAX_CONTEXTS 65536
#define PADDING 4 /* white pixels after a row, for windows that reach over its end */

#if defined(_MSC_VER)
#define INLINE static __forceinline
#else
#define INLINE static inline __attribute__((always_inline))
#endif

/* A context holds, from its lowest bit: `here` pixels left of the current one; a window of the row above that reaches
 * `above_ahead` pixels to the right; a window of the row above that. This is raster order, Figures 3 to 6, so that a step to
 * the right is one shift. `typical` is the context of the typical-prediction decision, Figures 8 to 11. */
typedef struct {
    int here, above, above_ahead, above2, above2_ahead;
    unsigned typical;
} Template;

static const Template TEMPLATES[4] = {
    {4, 7, 3, 5, 2, 0x9B25},
    {3, 6, 3, 4, 2, 0x0795},
    {2, 5, 2, 3, 1, 0x00E5},
    {4, 6, 2, 0, 0, 0x0195},
};

/* The current row and the two above it, each padded; they change places, the pixels stay. */
typedef struct {
    uint8_t *row, *above, *above2;
    uint8_t *memory, *contexts;
    size_t width, height;
    int template, typical_prediction;
} Region;

static int region_init(Region *g, size_t width, size_t height, int template, int typical_prediction)
{
    size_t stride = width + PADDING;
    g->memory = calloc(3 * stride + MAX_CONTEXTS, 1);
    if (g->memory == NULL)
        return -1;
    g->row = g->memory;
    g->above = g->row + stride;
    g->above2 = g->above + stride;
    g->contexts = g->above2 + stride;
    g->width = width;
    g->height = height;
    g->template = template;
    g->typical_prediction = typical_prediction;
    return 0;
}

static void next_row(Region *g)
{
    uint8_t *free_row = g->above2;
    g->above2 = g->above;
    g->above = g->row;
    g->row = free_row;
}

INLINE unsigned window(const uint8_t *row, int ahead)
{
    unsigned bits = 0;
    for (int i = 0; i < ahead; i++)
        bits = bits << 1 | row[i];
    return bits;
}

/* The context as seen from the place left of the first pixel. */
INLINE unsigned context_before(const Template t, const Region *g)
{
    return window(g->above, t.above_ahead) << t.here | window(g->above2, t.above2_ahead) << (t.here + t.above);
}

/* From the context of pixel x - 1, whose value is `bit`, to that of pixel x. */
INLINE unsigned step(const Template t, unsigned context, unsigned bit, const uint8_t *above2, const uint8_t *above, size_t x)
{
    const int to2 = t.here + t.above;
    const unsigned entering = 1u | 1u << t.here | 1u << to2;
    const unsigned kept = ((1u << (to2 + t.above2)) - 1) & ~entering;
    context = (context << 1 & kept) | bit | (unsigned)above[x + t.above_ahead] << t.here;
    if (t.above2)
        context |= (unsigned)above2[x + t.above2_ahead] << to2;
    return context;
}

INLINE void encode_row(const Template t, Encoder *e, Region *g)
{
    const uint8_t *row = g->row, *above = g->above, *above2 = g->above2;
    const size_t width = g->width;
    uint8_t *contexts = g->contexts;
    uint32_t a = e->a, c = e->c;
    unsigned context = context_before(t, g), bit = 0;
    for (size_t x = 0; x < width; x++) {
        context = step(t, context, bit, above2, above, x);
        bit = row[x];
        ENCODE(e, a, c, contexts + context, bit);
    }
    e->a = a;
    e->c = c;
}

INLINE void decode_row(const Template t, Decoder *d, Region *g)
{
    const uint8_t *above = g->above, *above2 = g->above2;
    const size_t width = g->width;
    uint8_t *row = g->row, *contexts = g->contexts;
    uint32_t a = d->a, c = d->c;
    unsigned context = context_before(t, g), bit = 0;
    for (size_t x = 0; x < width; x++) {
        context = step(t, context, bit, above2, above, x);
        DECODE(d, a, c, contexts + context, bit);
        row[x] = (uint8_t)bit;
    }
    d->a = a;
    d->c = c;
}

/* One compiled loop a template, its numbers constants. */
#define LOOPS(n)                                                                              \
    static void encode_row_##n(Encoder *e, Region *g) { encode_row(TEMPLATES[n], e, g); }     \
    static void decode_row_##n(Decoder *d, Region *g) { decode_row(TEMPLATES[n], d, g); }
LOOPS(0)
LOOPS(1)
LOOPS(2)
LOOPS(3)
static void (*const ENCODE_ROW[4])(Encoder *, Region *) = {encode_row_0, encode_row_1, encode_row_2, encode_row_3};
static void (*const DECODE_ROW[4])(Decoder *, Region *) = {decode_row_0, decode_row_1, decode_row_2, decode_row_3};

static int encode_bitmap(Encoder *e, Region *g, const uint8_t *pixels)
{
    unsigned was_typical = 0;
    for (size_t y = 0; y < g->height; y++, next_row(g)) {
        if (reserve(e, g->width + 1) < 0)
            return -1;
        for (size_t x = 0; x < g->width; x++)
            g->row[x] = pixels[y * g->width + x] != 0;
        if (g->typical_prediction) {
            unsigned is_typical = memcmp(g->row, g->above, g->width) == 0;
            encode(e, &g->contexts[TEMPLATES[g->template].typical], is_typical ^ was_typical);
            was_typical = is_typical;
            if (is_typical)
                continue;
        }
        ENCODE_ROW[g->template](e, g);
    }
    return reserve(e, 1);
}

static void decode_bitmap(Decoder *d, Region *g, uint8_t *pixels)
{
    unsigned is_typical = 0;
    for (size_t y = 0; y < g->height; y++, next_row(g)) {
        if (g->typical_prediction)
            is_typical ^= decode(d, &g->contexts[TEMPLATES[g->template].typical]);
        if (is_typical)
            memcpy(g->row, g->above, g->width);
        else
            DECODE_ROW[g->template](d, g);
        memcpy(pixels + y * g->width, g->row, g->width);
    }
}

/* ---- Python ---- */

static int check_region(Py_ssize_t width, Py_ssize_t height, int template)
{
    if (width < 1 || height < 1 || width > MAX_SIDE || height > MAX_SIDE || height > PY_SSIZE_T_MAX / width) {
        PyErr_Format(PyExc_ValueError, "a region has sides of 1 to %d pixels, not %zdx%zd", MAX_SIDE, width, height);
        return -1;
    }
    if (template < 0 || template > 3) {
        PyErr_Format(PyExc_ValueError, "there are the templates 0 to 3, not %d", template);
        return -1;
    }
    return 0;
}

static PyObject *encoded(Encoder *e, int failed)
{
    PyObject *result =
        failed ? PyErr_NoMemory() : PyBytes_FromStringAndSize((const char *)e->bytes + 1, (Py_ssize_t)e->last);
    free(e->bytes);
    return result;
}

static PyObject *py_encode_region(PyObject *module, PyObject *args)
{
    Py_buffer pixels;
    Py_ssize_t width, height;
    int template, typical_prediction, failed;
    Encoder e = {0};
    Region g;

    if (!PyArg_ParseTuple(args, "y*nnip", &pixels, &width, &height, &template, &typical_prediction))
        return NULL;
    if (check_region(width, height, template) < 0) {
        PyBuffer_Release(&pixels);
        return NULL;
    }
    if (pixels.len != width * height) {
        PyErr_Format(PyExc_ValueError, "%zd bytes are no bitmap of %zdx%zd", pixels.len, width, height);
        PyBuffer_Release(&pixels);
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    failed = encoder_init(&e) < 0;
    if (!failed) {
        failed = region_init(&g, (size_t)width, (size_t)height, template, typical_prediction) < 0;
        if (!failed) {
            failed = encode_bitmap(&e, &g, pixels.buf) < 0;
            free(g.memory);
        }
        if (!failed)
            flush_shortest(&e);
    }
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&pixels);
    return encoded(&e, failed);
}

static PyObject *py_decode_region(PyObject *module, PyObject *args)
{
    Py_buffer payload;
    Py_ssize_t width, height;
    int template, typical_prediction, failed;
    Decoder d;
    Region g;
    PyObject *result = NULL;

    if (!PyArg_ParseTuple(args, "y*nnip", &payload, &width, &height, &template, &typical_prediction))
        return NULL;
    if (check_region(width, height, template) == 0)
        result = PyByteArray_FromStringAndSize(NULL, width * height);
    if (result != NULL) {
        uint8_t *pixels = (uint8_t *)PyByteArray_AsString(result);
        Py_BEGIN_ALLOW_THREADS
        failed = region_init(&g, (size_t)width, (size_t)height, template, typical_prediction) < 0;
        if (!failed) {
            decoder_init(&d, payload.buf, (size_t)payload.len);
            decode_bitmap(&d, &g, pixels);
            free(g.memory);
        }
        Py_END_ALLOW_THREADS
        if (failed) {
            Py_CLEAR(result);
            PyErr_NoMemory();
        }
    }
    PyBuffer_Release(&payload);
    return result;
}

static PyObject *py_encode_decisions(PyObject *module, PyObject *args)
{
    Py_buffer decisions;
    uint8_t context = 0;
    int failed;
    Encoder e = {0};

    if (!PyArg_ParseTuple(args, "y*", &decisions))
        return NULL;
    failed = decisions.len > PY_SSIZE_T_MAX / 4 || encoder_init(&e) < 0;
    if (!failed) {
        failed = reserve(&e, (size_t)decisions.len) < 0;
        for (Py_ssize_t i = 0; !failed && i < decisions.len; i++)
            encode(&e, &context, ((const uint8_t *)decisions.buf)[i] != 0);
        if (!failed)
            flush_marked(&e);
    }
    PyBuffer_Release(&decisions);
    return encoded(&e, failed);
}

static PyObject *py_decode_decisions(PyObject *module, PyObject *args)
{
    Py_buffer payload;
    Py_ssize_t count;
    uint8_t context = 0;
    Decoder d;
    PyObject *result = NULL;

    if (!PyArg_ParseTuple(args, "y*n", &payload, &count))
        return NULL;
    if (count < 0)
        PyErr_SetString(PyExc_ValueError, "a count is not negative");
    else
        result = PyByteArray_FromStringAndSize(NULL, count);
    if (result != NULL) {
        uint8_t *decisions = (uint8_t *)PyByteArray_AsString(result);
        decoder_init(&d, payload.buf, (size_t)payload.len);
        for (Py_ssize_t i = 0; i < count; i++)
            decisions[i] = (uint8_t)decode(&d, &context);
    }
    PyBuffer_Release(&payload);
    return result;
}

static PyMethodDef METHODS[] = {
    {"encode_region", py_encode_region, METH_VARARGS,
     "encode_region(pixels, width_px, height_px, template, typical_prediction) -> bytes without a marker"},
    {"decode_region", py_decode_region, METH_VARARGS,
     "decode_region(payload, width_px, height_px, template, typical_prediction) -> bytearray, 0 or 1 a pixel"},
    {"encode_decisions", py_encode_decisions, METH_VARARGS,
     "encode_decisions(decisions) -> bytes with the marker, all decisions in one context"},
    {"decode_decisions", py_decode_decisions, METH_VARARGS,
     "decode_decisions(payload, count) -> bytearray of 0 and 1, all decisions in one context"},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot SLOTS[] = {{0, NULL}};

static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT, "_mq", "JBIG2 generic regions and their MQ coder, compiled.", 0, METHODS, SLOTS, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__mq(void)
{
    return PyModuleDef_Init(&MODULE);
}
