-- Tens of thousands of constants.
-- load: ok|time|steps|memory
-- call: ok
local t = {
--@ repeat 20000 "constant %d",
}
return function() return t[1] end
