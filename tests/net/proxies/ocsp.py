# SPDX-License-Identifier: Apache-2.0
"""Changes OCSP responses (RFC 6960) in ways that "openssl ocsp" does not offer, and signs them anew."""
import re, subprocess

BASIC = bytes.fromhex("06092b0601050507300101")  # id-pkix-ocsp-basic


def read(der, at=0):
    """Tag, content and end of the element at @at."""
    n, head = der[at + 1], 2
    if n & 0x80:
        head += n & 0x7f
        n = int.from_bytes(der[at + 2:at + head], "big")
    return der[at], der[at + head:at + head + n], at + head + n


def whole(der, at=0):
    end = read(der, at)[2]
    return der[at:end], end


def make(tag, content):
    n = len(content)
    if n < 0x80:
        return bytes([tag, n]) + content
    size = n.to_bytes((n.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + content


def parts(response):
    """The signed part (ResponseData), and the algorithm, of a response with one signature."""
    _, outer, _ = read(response)
    _, status, at = read(outer)
    assert status == b"\0", "not successful"
    _, both, _ = read(read(outer, at)[1])
    oid, at = whole(both)
    assert oid == BASIC
    _, basic, _ = read(read(both, at)[1])
    data, at = whole(basic)
    algorithm, _ = whole(basic, at)
    return data, algorithm


def join(data, algorithm, signature):
    basic = make(0x30, data + algorithm + make(0x03, b"\0" + signature))
    return make(0x30, make(0x0a, b"\0") + make(0xa0, make(0x30, BASIC + make(0x04, basic))))


def sign(data, key):
    return subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=data, check=True, capture_output=True).stdout


def earlier(data, years):
    """All times of a ResponseData, so many years before."""
    out, cnt = re.subn(rb"\x18\x0f(\d{4})(\d{10}Z)", lambda m: b"\x18\x0f%04d" % (int(m[1]) - years) + m[2], data)
    assert cnt >= 3, "producedAt, thisUpdate and nextUpdate"
    return out


def change(path, key, years=0):
    """Rewrite the response in @path: times so many years before, signed by @key."""
    with open(path, "rb") as f:
        data, algorithm = parts(f.read())
    data = earlier(data, years) if years else data
    with open(path, "wb") as f:
        f.write(join(data, algorithm, sign(data, key)))
