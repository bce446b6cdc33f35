// Package sysctl writes row.Sysctl below /proc/sys of one network namespace. It is a row.Target.
//
// A setting bears no mark of who made it, so this is the one table that needs a memory: a small file below
// /run, which lives exactly as long as the settings themselves (both end at boot), keeps what each setting was
// before. Removing a row puts that back, unless somebody else has changed the setting since.
package sysctl
