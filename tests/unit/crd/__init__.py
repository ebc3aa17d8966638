"""Tests of coverage requirements discovery."""
