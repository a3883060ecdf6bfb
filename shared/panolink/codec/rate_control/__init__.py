"""Rate control: which step, λ and tokens fill a budget.

`rd_cost` tells what each token costs and brings, from the entropy coder's tables; `rdoq` chooses its symbols;
`controller` finds step and λ. Nothing is entropy-coded here, nor known of a radio: `panolink.link` turns a budget
of symbols into bits.
"""
