"""The cheapest change that reaches a target: what is tried, and what each step gains and costs."""
