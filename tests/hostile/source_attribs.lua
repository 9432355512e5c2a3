-- Unknown attributes and constants assigned.
-- load: syntax
local x <const> = 1
x = 2
