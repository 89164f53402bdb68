/* The MQ arithmetic coder of JBIG2 (and JPEG 2000): ITU-T T.88 (08/2018) Annex E, its flow charts figure by figure.
 *
 * In: decisions with their contexts, or coded bytes. Out: coded bytes, or decisions.
 * Refuses: nothing. Past its end, as after a marker, the decoder reads 1-bits (E.3.4), so that every read is bounded.
 */

#ifndef SKETCHWIRE_MQ_H
#define SKETCHWIRE_MQ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* ---- Table E.1, probability estimation. A context is a byte: 2 * state + more probable symbol. ---- */

typedef struct {
    uint32_t qe; /* share of the less probable symbol, 0x8000 = 0.75 */
    uint8_t after_mps;
    uint8_t after_lps;
} Estimate;

#define ROW(qe, nmps, nlps, swap) \
    {qe, 2 * nmps, (2 * nlps) ^ swap}, {qe, 2 * nmps + 1, (2 * nlps + 1) ^ swap}

static const Estimate ESTIMATES[94] = {
    ROW(0x5601, 1, 1, 1),    ROW(0x3401, 2, 6, 0),    ROW(0x1801, 3, 9, 0),    ROW(0x0AC1, 4, 12, 0),
    ROW(0x0521, 5, 29, 0),   ROW(0x0221, 38, 33, 0),  ROW(0x5601, 7, 6, 1),    ROW(0x5401, 8, 14, 0),
    ROW(0x4801, 9, 14, 0),   ROW(0x3801, 10, 14, 0),  ROW(0x3001, 11, 17, 0),  ROW(0x2401, 12, 18, 0),
    ROW(0x1C01, 13, 20, 0),  ROW(0x1601, 29, 21, 0),  ROW(0x5601, 15, 14, 1),  ROW(0x5401, 16, 14, 0),
    ROW(0x5101, 17, 15, 0),  ROW(0x4801, 18, 16, 0),  ROW(0x3801, 19, 17, 0),  ROW(0x3401, 20, 18, 0),
    ROW(0x3001, 21, 19, 0),  ROW(0x2801, 22, 19, 0),  ROW(0x2401, 23, 20, 0),  ROW(0x2201, 24, 21, 0),
    ROW(0x1C01, 25, 22, 0),  ROW(0x1801, 26, 23, 0),  ROW(0x1601, 27, 24, 0),  ROW(0x1401, 28, 25, 0),
    ROW(0x1201, 29, 26, 0),  ROW(0x1101, 30, 27, 0),  ROW(0x0AC1, 31, 28, 0),  ROW(0x09C1, 32, 29, 0),
    ROW(0x08A1, 33, 30, 0),  ROW(0x0521, 34, 31, 0),  ROW(0x0441, 35, 32, 0),  ROW(0x02A1, 36, 33, 0),
    ROW(0x0221, 37, 34, 0),  ROW(0x0141, 38, 35, 0),  ROW(0x0111, 39, 36, 0),  ROW(0x0085, 40, 37, 0),
    ROW(0x0049, 41, 38, 0),  ROW(0x0025, 42, 39, 0),  ROW(0x0015, 43, 40, 0),  ROW(0x0009, 44, 41, 0),
    ROW(0x0005, 45, 42, 0),  ROW(0x0001, 45, 43, 0),  ROW(0x5601, 46, 46, 0),
};

/* ---- The encoder, E.2 ---- */

typedef struct {
    uint32_t a, c;
    int ct;
    uint8_t *bytes; /* bytes[0] stands for the byte before the first one: it is never 0xFF and never gets a carry */
    size_t last;    /* the byte that a carry may still change */
    size_t capacity;
} Encoder;

/* A decision shifts by at most 15 bits and a byte takes at least 7 of them: 3 bytes a decision are always enough. */
static int reserve(Encoder *e, size_t decisions)
{
    size_t need = e->last + 3 * decisions + 16;
    if (need <= e->capacity)
        return 0;
    size_t capacity = need + e->capacity;
    uint8_t *bytes = realloc(e->bytes, capacity);
    if (bytes == NULL)
        return -1;
    e->bytes = bytes;
    e->capacity = capacity;
    return 0;
}

static int encoder_init(Encoder *e)
{
    memset(e, 0, sizeof *e);
    e->a = 0x8000;
    e->ct = 12;
    if (reserve(e, 1024) < 0)
        return -1;
    e->bytes[0] = 0;
    return 0;
}

static void byte_out(Encoder *e) /* Figure E.8 */
{
    uint8_t *b = e->bytes + e->last;
    if (*b != 0xFF && e->c >= 0x8000000) {
        *b += 1;
        e->c &= 0x7FFFFFF;
    }
    if (*b == 0xFF) {
        b[1] = (uint8_t)(e->c >> 20);
        e->c &= 0xFFFFF;
        e->ct = 7;
    } else {
        b[1] = (uint8_t)(e->c >> 19);
        e->c &= 0x7FFFF;
        e->ct = 8;
    }
    e->last++;
}

static void encoder_renormalise(Encoder *e) /* Figure E.7 */
{
    do {
        e->a <<= 1;
        e->c <<= 1;
        if (--e->ct == 0)
            byte_out(e);
    } while (!(e->a & 0x8000));
}

static void encode_rare(Encoder *e, uint8_t *context, int is_mps) /* the renormalising branches of Figures E.5, E.6 */
{
    const Estimate *s = &ESTIMATES[*context];
    e->a -= s->qe;
    if ((e->a < s->qe) == is_mps)
        e->a = s->qe; /* the larger part goes to the more probable symbol */
    else
        e->c += s->qe;
    *context = is_mps ? s->after_mps : s->after_lps;
    encoder_renormalise(e);
}

/* The frequent case, with the interval in the caller's variables A and C, which a loop keeps in registers. */
#define ENCODE(coder, A, C, context, bit)                                \
    do {                                                                 \
        const Estimate *s_ = &ESTIMATES[*(context)];                     \
        const uint32_t a_ = (A) - s_->qe;                                \
        const int is_mps_ = (bit) == (*(context) & 1u);                  \
        if (is_mps_ && (a_ & 0x8000)) {                                  \
            (A) = a_;                                                    \
            (C) += s_->qe;                                               \
        } else {                                                         \
            (coder)->a = (A);                                            \
            (coder)->c = (C);                                            \
            encode_rare((coder), (context), is_mps_);                    \
            (A) = (coder)->a;                                            \
            (C) = (coder)->c;                                            \
        }                                                                \
    } while (0)

static void encode(Encoder *e, uint8_t *context, unsigned bit)
{
    ENCODE(e, e->a, e->c, context, bit);
}

static void flush_marked(Encoder *e) /* Figures E.11 and E.12, up to and with the marker */
{
    uint32_t top = e->c + e->a;
    e->c |= 0xFFFF;
    if (e->c >= top)
        e->c -= 0x8000;
    e->c <<= e->ct;
    byte_out(e);
    e->c <<= e->ct;
    byte_out(e);
    if (e->bytes[e->last] != 0xFF)
        e->bytes[++e->last] = 0xFF;
    e->bytes[++e->last] = 0xAC;
}

/* The shortest end: of all values in the interval, the one with the most trailing 1-bits, for the decoder infers those. */
static void flush_shortest(Encoder *e)
{
    int64_t low = e->c, top = low + e->a, value = low;
    for (int ones = 28; ones >= 0; ones--) {
        value = ((top >> ones) << ones) - 1;
        if (value >= low)
            break;
    }
    e->c = (uint32_t)value;
    for (int i = 0; i < 2; i++) { /* at least 15 trailing ones: two bytes hold all the rest */
        e->c = ((e->c + 1) << e->ct) - 1;
        byte_out(e);
    }
    for (;;) {
        if (e->last >= 1 && e->bytes[e->last] == 0xFF)
            e->last -= 1;
        else if (e->last >= 2 && e->bytes[e->last] == 0x7F && e->bytes[e->last - 1] == 0xFF)
            e->last -= 2; /* after 0xFF a byte carries seven bits */
        else
            break;
    }
}

/* ---- The decoder, E.3 ---- */

typedef struct {
    uint32_t a, c; /* both 16 bits up, so that C and Qe compare whole */
    int ct;
    const uint8_t *bytes;
    size_t size, at; /* at <= size */
} Decoder;

static void byte_in(Decoder *d) /* Figure E.19; past the end there are only bytes of 0xFF */
{
    unsigned here = d->at < d->size ? d->bytes[d->at] : 0xFF;
    unsigned next = d->at + 1 < d->size ? d->bytes[d->at + 1] : 0xFF;
    if (here == 0xFF) {
        if (next > 0x8F) {
            d->c += 0xFF00;
            d->ct = 8;
        } else {
            d->at++;
            d->c += next << 9;
            d->ct = 7;
        }
    } else {
        d->at++;
        d->c += next << 8;
        d->ct = 8;
    }
}

static void decoder_init(Decoder *d, const uint8_t *bytes, size_t size) /* Figure E.20 */
{
    d->bytes = bytes;
    d->size = size;
    d->at = 0;
    d->c = (uint32_t)(size > 0 ? bytes[0] : 0xFF) << 16;
    byte_in(d);
    d->c <<= 7;
    d->ct -= 7;
    d->a = 0x80000000u;
}

static unsigned decode_rare(Decoder *d, uint8_t *context) /* the renormalising branches of Figures E.14 to E.18 */
{
    const Estimate *s = &ESTIMATES[*context];
    uint32_t qe = s->qe << 16;
    unsigned bit = *context & 1;
    int is_mps;
    d->a -= qe;
    if (d->c < qe) {
        is_mps = d->a < qe;
        d->a = qe;
    } else {
        d->c -= qe;
        is_mps = d->a >= qe;
    }
    *context = is_mps ? s->after_mps : s->after_lps;
    do {
        if (d->ct == 0)
            byte_in(d);
        d->a <<= 1;
        d->c <<= 1;
        d->ct--;
    } while (!(d->a & 0x80000000u));
    return is_mps ? bit : 1 - bit;
}

/* As ENCODE: the frequent case, with the interval in the caller's variables A and C. */
#define DECODE(coder, A, C, context, bit)                                \
    do {                                                                 \
        const uint32_t qe_ = ESTIMATES[*(context)].qe << 16;             \
        const uint32_t a_ = (A) - qe_;                                   \
        if ((C) >= qe_ && (a_ & 0x80000000u)) {                          \
            (A) = a_;                                                    \
            (C) -= qe_;                                                  \
            (bit) = *(context) & 1u;                                     \
        } else {                                                         \
            (coder)->a = (A);                                            \
            (coder)->c = (C);                                            \
            (bit) = decode_rare((coder), (context));                     \
            (A) = (coder)->a;                                            \
            (C) = (coder)->c;                                            \
        }                                                                \
    } while (0)

static unsigned decode(Decoder *d, uint8_t *context)
{
    unsigned bit;
    DECODE(d, d->a, d->c, context, bit);
    return bit;
}

#endif
