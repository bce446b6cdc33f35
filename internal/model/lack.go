package model

// Lack is a scheduler of IPVS that Services ask for and this node's kernel doesn't have.
type Lack struct{ Scheduler string }

// Ref names the scheduler.
func (l *Lack) Ref() Ref { return Ref{KindLack, Name{Name: l.Scheduler}} }
