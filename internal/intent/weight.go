package intent

// Weighs tells whether a scheduler goes by weights. Of the others rr and lc take all backends for equal, and dh, which
// gives each address of a front to one of them, too (Linux net/netfilter/ipvs).
func (s Scheduler) Weighs() bool {
	switch s {
	case "", "rr", "lc", "dh":
		return false
	}
	return true
}

// Shares are the weights of backends in small numbers that keep their ratios: divided by what divides them all and, where
// they don't add up to most or less, made so, one at least. A backend without a weight has 1.
func Shares(backends []Backend, most int) []int {
	shares := make([]int, len(backends))
	common, sum := 0, 0
	for i, b := range backends {
		shares[i] = max(int(b.Weight), 1)
		common = gcd(shares[i], common)
	}
	for i := range shares {
		shares[i] /= common
		sum += shares[i]
	}
	if sum <= most {
		return shares
	}
	room := max(most-len(backends), 0) // beside the one of each
	for i, n := range shares {
		shares[i] = 1 + n*room/sum
	}
	return shares
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
