"""The cheapest change that reaches a target: what is tried, what each step gains and costs."""
