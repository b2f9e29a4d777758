package sops

import "errors"

// combine returns the secret that parts are shares of, by Shamir's scheme over
// the field of 256 elements, as HashiCorp's Vault makes them: the last byte of a
// part is where the polynomials were evaluated.
func combine(parts [][]byte) ([]byte, error) {
	size := len(parts[0]) - 1
	seen := make(map[byte]bool)
	for _, p := range parts {
		if len(p) != size+1 || size < 1 || seen[p[size]] || p[size] == 0 {
			return nil, errors.New("the parts of its data key do not go together")
		}
		seen[p[size]] = true
	}
	secret := make([]byte, size)
	for _, p := range parts {
		weight := byte(1) // of the Lagrange polynomial of p, at zero
		for _, q := range parts {
			if q[size] != p[size] {
				weight = mul(weight, mul(q[size], inverse(q[size]^p[size])))
			}
		}
		for i := range secret {
			secret[i] ^= mul(weight, p[i])
		}
	}
	return secret, nil
}

// mul multiplies modulo x⁸+x⁴+x³+x+1.
func mul(a, b byte) (p byte) {
	for range 8 {
		if b&1 != 0 {
			p ^= a
		}
		high := a & 0x80
		a <<= 1
		if high != 0 {
			a ^= 0x1b
		}
		b >>= 1
	}
	return p
}

// inverse returns a²⁵⁴, which is 1/a.
func inverse(a byte) byte {
	p := byte(1)
	for range 254 {
		p = mul(p, a)
	}
	return p
}
