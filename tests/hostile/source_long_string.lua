-- A literal longer than strings may be.
-- load: limit
local s = "\
--@ repeat 2000 a literal of fifty bytes that goes on and on and on\
"
return function() return s end
