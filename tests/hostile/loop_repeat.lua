-- Repeat that never ends.
-- load: ok
-- call: steps
return function() repeat until false end
