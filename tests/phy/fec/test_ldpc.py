import numpy as np
import pytest
import torch
from sionna.phy.fec.ldpc import LDPC5GEncoder

from panolink.phy import Modulation, Scheme, SegmentFormat
from panolink.phy.fec.ldpc import ldpc_code, lifted_graph
from panolink.phy.fec.ldpc_decoder import parity_check_matrix, recover_word

RATES = [1 / 5, 1 / 3, 1 / 2, 2 / 3, 3 / 4, 5 / 6]


def code_of(size: int, modulation: Modulation, rate: float):
    blocks = SegmentFormat(size, Scheme(modulation, rate)).blocks
    return ldpc_code(blocks.k, blocks.n, modulation.bits)


@pytest.mark.parametrize("modulation", list(Modulation))
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("size", [1, 10, 75, 330])
def test_words_are_those_of_sionna(size, modulation, rate):
    code = code_of(size, modulation, rate)
    encoder = LDPC5GEncoder(code.k, code.n, num_bits_per_symbol=modulation.bits)
    assert (code.graph.z, code.n) == (encoder.z, encoder.n)
    bits = np.random.default_rng(size).integers(0, 2, (3, code.k), np.uint8)
    expected = encoder(torch.from_numpy(bits.astype(np.float32))).numpy()
    assert np.array_equal(code.encode(bits), expected)


@pytest.mark.parametrize(("size", "rate"), [(40, 1 / 5), (300, 1 / 3), (900, 5 / 6)])
def test_words_fulfil_every_parity_check(size, rate):
    code = code_of(size, Modulation.QPSK, rate)
    bits = np.random.default_rng(0).integers(0, 2, (4, code.k), np.uint8)
    rows = code.active_rows
    matrix = parity_check_matrix(code.base_graph, code.graph.z, rows)
    words = code.encode_words(bits)[:, : matrix.shape[1]]
    assert not (matrix @ words.T % 2).any()
    assert (matrix @ (words ^ (np.arange(words.shape[1]) == 7)).T % 2).any()


@pytest.mark.parametrize(("number", "k", "n"), [(1, 8000, 10000), (2, 1000, 3000)])
def test_matrix_is_that_of_sionna(number, k, n):
    code, encoder = ldpc_code(k, n, 2), LDPC5GEncoder(k, n)
    assert code.base_graph == number
    graph = lifted_graph(number, code.graph.z)
    assert (parity_check_matrix(number, graph.z, graph.rows) != encoder.pcm).nnz == 0


def test_rate_matching_is_undone():
    code = code_of(330, Modulation.QAM16, 1 / 2)
    sent = code.encode(np.random.default_rng(0).integers(0, 2, (1, code.k), np.uint8))
    word = code.encode_words(np.zeros((1, code.k), np.uint8))
    llr = recover_word(code, 1 - 2.0 * sent[0])
    assert llr.size <= word.size
    assert not llr[:2].any()  # the first two columns are never sent
    assert np.count_nonzero(llr) == code.n + code.filler
    assert np.array_equal(llr.ravel()[code.sent_positions()] < 0, sent[0] == 1)
