package policy

import "kube-router/internal/intent"

// shelf has the tiers that pods have, each once however many pods share it, and none that no pod has any more.
type shelf struct {
	byKey map[[32]byte]*shared // by the policies, and the ports of pods, that they come from
	of    map[*intent.Tier]*shared
}

type shared struct {
	key  [32]byte
	tier *intent.Tier
	pods int // by direction and level; 0 from get to use
}

func newShelf() shelf {
	return shelf{byKey: map[[32]byte]*shared{}, of: map[*intent.Tier]*shared{}}
}

// get gives the tier of a key and has it made if no pod has it. Whoever gets one has a pod use it next.
func (s *shelf) get(key [32]byte, made func() *intent.Tier) *intent.Tier {
	if e := s.byKey[key]; e != nil {
		return e.tier
	}
	e := &shared{key: key, tier: made()}
	s.byKey[key], s.of[e.tier] = e, e
	return e.tier
}

// use gives a pod other tiers than it had.
func (s *shelf) use(pod *state, tiers tiers) {
	for _, list := range tiers {
		for _, t := range list {
			s.of[t].pods++
		}
	}
	for _, list := range pod.tiers {
		for _, t := range list {
			e := s.of[t]
			if e.pods--; e.pods == 0 {
				delete(s.byKey, e.key)
				delete(s.of, t)
			}
		}
	}
	pod.tiers = tiers
}
