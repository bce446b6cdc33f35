// Package config turns what the operator said, on the command line, in the environment and in an optional
// file, into one checked model.Settings. It stands before the picture: main calls it once and everybody
// behind reads typed values only, so no flag is looked at, parsed or judged anywhere else.
//
// Every flag is one entry of the tables in table_*.go: name, type, default, meaning, and the place its
// value goes to. Flag parsing, the file, the check command and the guide's table all read those entries.
package config
