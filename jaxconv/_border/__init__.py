"""Turns what users write into one Spec; every user error is raised here."""
