package clusterapi

import (
	"fmt"

	sigsjson "sigs.k8s.io/json"
)

// UnmarshalJSON reads a rule, and notes what it doesn't know.
func (r *Rule) UnmarshalJSON(raw []byte) error {
	type plain Rule
	*r = Rule{}
	unknown, err := sigsjson.UnmarshalStrict(raw, (*plain)(r))
	if err != nil {
		return fmt.Errorf("rule of a %s: %w", Kind, err)
	}
	for _, one := range unknown {
		r.Unknown = append(r.Unknown, one.Error())
	}
	return nil
}
