-- Thousands of forward jumps, which the parser keeps in a list.
-- load: ok|steps|time|syntax|policy
-- call: ok
return function()
--@ repeat 3000 do goto l%d end
--@ repeat 3000 ::l%d::
end
